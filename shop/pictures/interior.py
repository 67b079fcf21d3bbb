"""Things that stand in a room."""

import random

from shop.pictures.shapes import Palette, circle, line, path, rect


def chair(c: Palette, rng: random.Random) -> str:
    lean = rng.randint(0, 14)
    height = rng.randint(120, 160)
    return (
        line("M138 250 122 330M262 250 278 330M158 250 150 322M242 250 250 322", "#7a5638", 9)
        + rect(126 + lean, 250 - height, 148 - 2 * lean, height, c.main, rng.choice((20, 46, 70)))
        + rect(108, 218, 184, 44, c.light, 22)
        + rect(100, 186, 28, 76, c.dark, 14)
        + rect(272, 186, 28, 76, c.dark, 14)
    )


def pillow(c: Palette, rng: random.Random) -> str:
    stripes = "".join(
        line(f"M{x} 214Q{x + 6} 262 {x} 308", c.light, 6)
        for x in range(140, 268, rng.choice((21, 32, 42)))
    )
    back = "M132 138Q200 122 268 138Q284 200 268 256Q200 268 132 256Q116 200 132 138Z"
    front = "M104 206Q200 186 296 206Q312 264 296 322Q200 338 104 322Q88 264 104 206Z"
    return path(back, c.light) + path(front, c.main) + stripes


def lamp(c: Palette, rng: random.Random) -> str:
    spread = rng.randint(56, 92)
    top = rng.randint(18, 46)
    return (
        f'<circle cx="200" cy="170" r="{spread + 30}" fill="#fff6d8" fill-opacity=".75"/>'
        + line("M200 170V322", "#5b4a3c", 8)
        + rect(148, 316, 104, 14, c.dark, 7)
        + path(f"M{200 - top} 92H{200 + top}L{200 + spread} 192H{200 - spread}Z", c.main)
        + path(f"M{200 - top} 92H200V192H{200 - spread}Z", c.light)
    )


def vase(c: Palette, rng: random.Random) -> str:
    neck, belly = rng.randint(16, 34), rng.randint(56, 86)
    stems = "".join(
        line(f"M200 180Q{200 + bend // 2} 120 {200 + bend} {rng.randint(56, 96)}", "#71845f", 5)
        + circle(200 + bend, rng.randint(56, 90), rng.randint(9, 17), c.dark)
        for bend in (-62, -18, 34, 70)[: rng.randint(2, 4)]
    )
    body = f"M{200 - neck} 168Q{200 - neck} 206 {200 - belly} 258Q{200 - belly} 330 200 330"
    return (
        stems
        + path(
            f"{body}Q{200 + belly} 330 {200 + belly} 258Q{200 + neck} 206 {200 + neck} 168Z",
            c.main,
        )
        + path(f"{body}Q150 318 158 262Q{196 - neck // 3} 206 196 168Z", c.light)
    )


def plant(c: Palette, rng: random.Random) -> str:
    leaves = ""
    for turn in range(-70, 71, rng.choice((20, 28, 35))):
        length = rng.randint(92, 136)
        green = f"hsl({rng.randint(96, 150)} {rng.randint(24, 40)}% {rng.randint(32, 48)}%)"
        middle, tip = 248 - length // 2, 248 - length
        leaf = f"M200 248Q174 {middle} 200 {tip}Q226 {middle} 200 248Z"
        leaves += f'<path d="{leaf}" fill="{green}" transform="rotate({turn} 200 248)"/>'
    return leaves + path("M142 236H258L242 330H158Z", c.main) + rect(134, 228, 132, 24, c.dark, 8)


def table(c: Palette, rng: random.Random) -> str:
    half, top = rng.randint(84, 116), rng.randint(196, 226)
    legs = line(
        f"M{210 - half} {top}L{196 - half} 324M{190 + half} {top}L{204 + half} 324", c.dark, 10
    )
    cup = rect(186, top - 34, 40, 34, "#fff", 8) + line(f"M226 {top - 26}q16 6 0 18", "#fff", 6)
    return legs + rect(200 - half, top, 2 * half, 20, c.main, 10) + cup


def shelf(c: Palette, rng: random.Random) -> str:
    books = ""
    for board in (160, 238, 316):
        x = 132
        while x < 236:
            width, height = rng.randint(9, 19), rng.randint(34, 58)
            books += rect(
                x, board - height, width, height, rng.choice((c.light, c.dark, "#e9dfca")), 2
            )
            x += width + rng.choice((2, 2, 26))
    boards = "".join(rect(116, board, 168, 10, c.main, 3) for board in (160, 238, 316))
    return books + boards + rect(110, 84, 12, 246, c.main, 4) + rect(278, 84, 12, 246, c.main, 4)


def rug(c: Palette, rng: random.Random) -> str:
    stripes = "".join(
        path(
            f"M{118 - y // 4} {236 + y}H{282 + y // 4}L{286 + y // 4} {244 + y}H{114 - y // 4}Z",
            colour,
        )
        for y, colour in ((12, c.light), (34, c.dark), (56, c.light), (78, c.dark))
    )
    fringe = "".join(
        line(f"M{92 + step} 334v{rng.randint(7, 11)}", c.dark, 3) for step in range(0, 217, 12)
    )
    return path("M120 232H280L312 336H88Z", c.main) + stripes + fringe


def towel(c: Palette, rng: random.Random) -> str:
    stack, y = "", 322
    for shade in rng.sample((c.main, c.light, c.dark, "#efe7d8"), 4):
        half = rng.randint(78, 92)
        stack += rect(200 - half, y - 42, 2 * half, 42, shade, 20)
        stack += line(f"M{214 - half} {y - 21}H{170 + half}", "#ffffff66", 3)
        y -= 44
    return stack
