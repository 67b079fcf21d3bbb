"""Product pictures, drawn instead of stored: the same kind and number give the same picture."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of one picture: a wall, a floor, and three shades of the thing in front of it."""

    wall: str
    floor: str
    light: str
    main: str
    dark: str


def draw(kind: str, number: int) -> str:
    """Return an SVG document, 400 units square; an unknown kind is drawn as a vase."""
    rng = random.Random(f"{kind}-{number}")
    colours = _palette(rng)
    thing = KINDS.get(kind, vase)(colours, rng)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400">'
        f'<rect width="400" height="400" fill="{colours.wall}"/>'
        f'<rect y="296" width="400" height="104" fill="{colours.floor}"/>'
        f"{_sun(rng)}"
        '<ellipse cx="200" cy="330" rx="112" ry="14" fill="#000" fill-opacity=".13"/>'
        f"{thing}</svg>"
    )


def _palette(rng: random.Random) -> Palette:
    wall = rng.choice((28, 36, 44, 90, 150, 190, 215, 255, 340))
    hue = (wall + rng.choice((0, 150, 180, 200, 320))) % 360
    strength = rng.randint(22, 48)
    return Palette(
        wall=f"hsl({wall} {rng.randint(24, 38)}% {rng.randint(87, 91)}%)",
        floor=f"hsl({wall} 24% {rng.randint(79, 83)}%)",
        light=f"hsl({hue} {strength}% 66%)",
        main=f"hsl({hue} {strength}% 52%)",
        dark=f"hsl({hue} {strength}% 36%)",
    )


def _sun(rng: random.Random) -> str:
    x, y, radius = rng.randint(80, 320), rng.randint(90, 150), rng.randint(60, 96)
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="#fff" fill-opacity=".42"/>'


def _rect(x: int, y: int, width: int, height: int, fill: str, radius: int = 0) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}"/>'


def _path(d: str, fill: str) -> str:
    return f'<path d="{d}" fill="{fill}"/>'


def _line(d: str, colour: str, width: int = 8) -> str:
    return (
        f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width}" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def chair(c: Palette, rng: random.Random) -> str:
    lean = rng.randint(0, 14)
    height = rng.randint(120, 160)
    return (
        _line("M138 250 122 330M262 250 278 330M158 250 150 322M242 250 250 322", "#7a5638", 9)
        + _rect(126 + lean, 250 - height, 148 - 2 * lean, height, c.main, rng.choice((20, 46, 70)))
        + _rect(108, 218, 184, 44, c.light, 22)
        + _rect(100, 186, 28, 76, c.dark, 14)
        + _rect(272, 186, 28, 76, c.dark, 14)
    )


def lamp(c: Palette, rng: random.Random) -> str:
    spread = rng.randint(56, 92)
    top = rng.randint(18, 46)
    return (
        f'<circle cx="200" cy="170" r="{spread + 30}" fill="#fff6d8" fill-opacity=".75"/>'
        + _line("M200 170V322", "#5b4a3c", 8)
        + _rect(148, 316, 104, 14, c.dark, 7)
        + _path(f"M{200 - top} 92H{200 + top}L{200 + spread} 192H{200 - spread}Z", c.main)
        + _path(f"M{200 - top} 92H200V192H{200 - spread}Z", c.light)
    )


def kettle(c: Palette, rng: random.Random) -> str:
    width = rng.randint(64, 84)
    return (
        _line(f"M{200 - width + 14} 206Q200 {rng.randint(84, 120)} {200 + width - 14} 206", c.dark, 11)
        + _path(f"M{200 + width - 12} 222Q{276 + width // 4} 216 {292 + width // 4} 176"
                f"L{306 + width // 4} 184Q{300 + width // 4} 262 {200 + width - 8} 272Z", c.dark)
        + _path(f"M{200 - width} 328Q{184 - width} 196 200 192Q{216 + width} 196 {200 + width} 328Z", c.main)
        + _path(f"M{200 - width} 328Q{184 - width} 196 200 192Q150 240 160 328Z", c.light)
        + '<circle cx="200" cy="186" r="12" fill="#6d4f38"/>'
    )


def vase(c: Palette, rng: random.Random) -> str:
    neck, belly = rng.randint(16, 34), rng.randint(56, 86)
    stems = "".join(
        _line(f"M200 180Q{200 + bend // 2} 120 {200 + bend} {rng.randint(56, 96)}", "#71845f", 5)
        + f'<circle cx="{200 + bend}" cy="{rng.randint(56, 90)}" r="{rng.randint(9, 17)}" fill="{c.dark}"/>'
        for bend in (-62, -18, 34, 70)[: rng.randint(2, 4)]
    )
    body = f"M{200 - neck} 168Q{200 - neck} 206 {200 - belly} 258Q{200 - belly} 330 200 330"
    return (
        stems
        + _path(f"{body}Q{200 + belly} 330 {200 + belly} 258Q{200 + neck} 206 {200 + neck} 168Z", c.main)
        + _path(f"{body}Q150 318 158 262Q{196 - neck // 3} 206 196 168Z", c.light)
    )


def pillow(c: Palette, rng: random.Random) -> str:
    stripes = "".join(
        _line(f"M{x} 214Q{x + 6} 262 {x} 308", c.light, 6) for x in range(140, 268, rng.choice((21, 32, 42)))
    )
    back = "M132 138Q200 122 268 138Q284 200 268 256Q200 268 132 256Q116 200 132 138Z"
    front = "M104 206Q200 186 296 206Q312 264 296 322Q200 338 104 322Q88 264 104 206Z"
    return _path(back, c.light) + _path(front, c.main) + stripes


def bottle(c: Palette, rng: random.Random) -> str:
    height = rng.randint(130, 172)
    top = 328 - height
    return (
        _rect(178, top - 46, 24, 50, "#3f3a36", 5)
        + _line(f"M190 {top - 42}H{rng.randint(216, 236)}", "#3f3a36", 12)
        + _rect(140, top, 100, height, c.main, rng.choice((14, 26, 40)))
        + _rect(158, top + 44, 64, 58, "#fff", 6).replace("/>", ' fill-opacity=".82"/>')
        + _line(f"M172 {top + 66}H208M172 {top + 82}H196", c.dark, 5)
        + _rect(250, 270, 62, 58, c.light, 12)
    )


def plant(c: Palette, rng: random.Random) -> str:
    leaves = ""
    for turn in range(-70, 71, rng.choice((20, 28, 35))):
        length = rng.randint(92, 136)
        green = f"hsl({rng.randint(96, 150)} {rng.randint(24, 40)}% {rng.randint(32, 48)}%)"
        leaf = f"M200 248Q{174} {248 - length // 2} 200 {248 - length}Q226 {248 - length // 2} 200 248Z"
        leaves += f'<path d="{leaf}" fill="{green}" transform="rotate({turn} 200 248)"/>'
    return leaves + _path("M142 236H258L242 330H158Z", c.main) + _rect(134, 228, 132, 24, c.dark, 8)


def notebook(c: Palette, rng: random.Random) -> str:
    tilt = rng.randint(-9, 9)
    cover = (
        _rect(124, 104, 156, 218, c.dark, 12)
        + _rect(116, 98, 156, 218, c.main, 12)
        + _rect(116, 98, 26, 218, c.light, 10)
        + _rect(166, 142, 82, 44, "#fff", 6).replace("/>", ' fill-opacity=".85"/>')
        + _line("M178 160H234M178 172H216", c.dark, 4)
    )
    pencil = _rect(292, 150, 14, 158, "#d9a441", 3) + _path("M292 150 299 126 306 150Z", "#5b4a3c")
    return f'<g transform="rotate({tilt} 200 220)">{cover}</g>{pencil}'


def speaker(c: Palette, rng: random.Random) -> str:
    width = rng.randint(120, 160)
    left = 200 - width // 2
    return (
        _rect(left, 112, width, 216, c.dark, rng.choice((16, 30, 60)))
        + _rect(left + 10, 122, width - 20, 196, c.main, rng.choice((12, 24)))
        + f'<circle cx="200" cy="172" r="26" fill="{c.dark}"/><circle cx="200" cy="172" r="11" fill="{c.light}"/>'
        + f'<circle cx="200" cy="256" r="46" fill="{c.dark}"/><circle cx="200" cy="256" r="30" fill="{c.light}"/>'
        + f'<circle cx="200" cy="256" r="12" fill="{c.dark}"/>'
    )


def tent(c: Palette, rng: random.Random) -> str:
    peak = rng.randint(104, 140)
    hills = _path(f"M0 296 {rng.randint(60, 110)} 216 170 296Z", c.floor) + _path("M230 296 320 226 400 296Z", c.floor)
    return (
        hills
        + _path(f"M200 {peak} 62 328H338Z", c.main)
        + _path(f"M200 {peak} 62 328H168Z", c.light)
        + _path(f"M200 {peak + 46} 160 328H240Z", c.dark)
        + _line(f"M200 {peak} 192 {peak - 16}M200 {peak} 210 {peak - 18}", "#5b4a3c", 6)
    )


KINDS: Mapping[str, Callable[[Palette, random.Random], str]] = {
    "bottle": bottle,
    "chair": chair,
    "kettle": kettle,
    "lamp": lamp,
    "notebook": notebook,
    "pillow": pillow,
    "plant": plant,
    "speaker": speaker,
    "tent": tent,
    "vase": vase,
}
