"""Things that one uses."""

import random

from shop.pictures.shapes import Palette, circle, line, path, rect


def kettle(c: Palette, rng: random.Random) -> str:
    width = rng.randint(64, 84)
    return (
        line(
            f"M{200 - width + 14} 206Q200 {rng.randint(84, 120)} {200 + width - 14} 206",
            c.dark,
            11,
        )
        + path(
            f"M{200 + width - 12} 222Q{276 + width // 4} 216 {292 + width // 4} 176"
            f"L{306 + width // 4} 184Q{300 + width // 4} 262 {200 + width - 8} 272Z",
            c.dark,
        )
        + path(
            f"M{200 - width} 328Q{184 - width} 196 200 192Q{216 + width} 196 {200 + width} 328Z",
            c.main,
        )
        + path(f"M{200 - width} 328Q{184 - width} 196 200 192Q150 240 160 328Z", c.light)
        + '<circle cx="200" cy="186" r="12" fill="#6d4f38"/>'
    )


def bottle(c: Palette, rng: random.Random) -> str:
    height = rng.randint(130, 172)
    top = 328 - height
    return (
        rect(178, top - 46, 24, 50, "#3f3a36", 5)
        + line(f"M190 {top - 42}H{rng.randint(216, 236)}", "#3f3a36", 12)
        + rect(140, top, 100, height, c.main, rng.choice((14, 26, 40)))
        + rect(158, top + 44, 64, 58, "#fff", 6).replace("/>", ' fill-opacity=".82"/>')
        + line(f"M172 {top + 66}H208M172 {top + 82}H196", c.dark, 5)
        + rect(250, 270, 62, 58, c.light, 12)
    )


def notebook(c: Palette, rng: random.Random) -> str:
    tilt = rng.randint(-9, 9)
    cover = (
        rect(124, 104, 156, 218, c.dark, 12)
        + rect(116, 98, 156, 218, c.main, 12)
        + rect(116, 98, 26, 218, c.light, 10)
        + rect(166, 142, 82, 44, "#fff", 6).replace("/>", ' fill-opacity=".85"/>')
        + line("M178 160H234M178 172H216", c.dark, 4)
    )
    pencil = rect(292, 150, 14, 158, "#d9a441", 3) + path("M292 150 299 126 306 150Z", "#5b4a3c")
    return f'<g transform="rotate({tilt} 200 220)">{cover}</g>{pencil}'


def speaker(c: Palette, rng: random.Random) -> str:
    width = rng.randint(120, 160)
    left = 200 - width // 2
    return (
        rect(left, 112, width, 216, c.dark, rng.choice((16, 30, 60)))
        + rect(left + 10, 122, width - 20, 196, c.main, rng.choice((12, 24)))
        + circle(200, 172, 26, c.dark)
        + circle(200, 172, 11, c.light)
        + circle(200, 256, 46, c.dark)
        + circle(200, 256, 30, c.light)
        + circle(200, 256, 12, c.dark)
    )


def tent(c: Palette, rng: random.Random) -> str:
    peak = rng.randint(104, 140)
    hills = path(f"M0 296 {rng.randint(60, 110)} 216 170 296Z", c.floor) + path(
        "M230 296 320 226 400 296Z", c.floor
    )
    return (
        hills
        + path(f"M200 {peak} 62 328H338Z", c.main)
        + path(f"M200 {peak} 62 328H168Z", c.light)
        + path(f"M200 {peak + 46} 160 328H240Z", c.dark)
        + line(f"M200 {peak} 192 {peak - 16}M200 {peak} 210 {peak - 18}", "#5b4a3c", 6)
    )


def plate(c: Palette, rng: random.Random) -> str:
    rim = rng.randint(92, 106)
    cutlery = line("M78 130V310M64 130V170Q78 190 92 170V130", "#8d8577", 6)
    knife = path("M318 312V132Q340 150 334 222H326V312Z", "#8d8577")
    rings = circle(200, 220, rim, c.main) + circle(200, 220, rim - 10, c.light)
    return cutlery + knife + rings + circle(200, 220, rng.randint(54, 68), c.main)


def pan(c: Palette, rng: random.Random) -> str:
    height = rng.randint(76, 128)
    top = 326 - height
    lid = path(f"M104 {top - 6}Q200 {top - 74} 296 {top - 6}Z", c.light) + circle(
        200, top - 48, 13, c.dark
    )
    ears = line(f"M100 {top + 26}H78V{top + 52}H100M300 {top + 26}H322V{top + 52}H300", c.dark, 11)
    return (
        ears
        + rect(100, top, 200, height, c.main, 26)
        + rect(94, top - 6, 212, 14, c.dark, 7)
        + lid
    )


def bag(c: Palette, rng: random.Random) -> str:
    top = rng.randint(140, 176)
    strap = line(f"M152 {top + 16}Q156 {top - 76} 200 {top - 76}T248 {top + 16}", c.dark, 11)
    body = rect(114, top, 172, 328 - top, c.main, 26) + rect(114, top, 172, 70, c.light, 26)
    pocket = rect(142, 246, 116, 66, c.dark, 14).replace("/>", ' fill-opacity=".55"/>')
    return strap + body + pocket + rect(188, top + 54, 24, 34, "#e3c58a", 6)


def headphones(c: Palette, rng: random.Random) -> str:
    wide = rng.randint(78, 92)
    band = line(f"M{200 - wide} 250Q{196 - wide} 112 200 112T{200 + wide} 250", c.dark, 17)
    cups = rect(174 - wide, 220, 46, 104, c.main, 23) + rect(180 + wide, 220, 46, 104, c.main, 23)
    pads = rect(208 - wide, 228, 22, 88, c.light, 11) + rect(170 + wide, 228, 22, 88, c.light, 11)
    return band + pads + cups


def cup(c: Palette, rng: random.Random) -> str:
    height = rng.randint(96, 136)
    top = 326 - height
    steam = line(
        f"M180 {top - 18}q-14-20 0-38t0-38M216 {top - 18}q-14-20 0-38t0-38", "#ffffffbb", 7
    )
    handle = line(f"M262 {top + 24}q54 4 40 46t-48 26", c.dark, 15)
    return (
        steam
        + handle
        + path(f"M132 {top}H268L256 326H144Z", c.main)
        + path(f"M132 {top}H166L172 326H144Z", c.light)
    )
