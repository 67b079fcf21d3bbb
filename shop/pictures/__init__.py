"""Product pictures, drawn instead of stored: the same kind and number give the same picture."""

import random
from collections.abc import Callable, Mapping

from shop.pictures import interior, tools
from shop.pictures.shapes import Palette

KINDS: Mapping[str, Callable[[Palette, random.Random], str]] = {
    "bag": tools.bag,
    "bottle": tools.bottle,
    "chair": interior.chair,
    "cup": tools.cup,
    "headphones": tools.headphones,
    "kettle": tools.kettle,
    "lamp": interior.lamp,
    "notebook": tools.notebook,
    "pan": tools.pan,
    "pillow": interior.pillow,
    "plant": interior.plant,
    "plate": tools.plate,
    "rug": interior.rug,
    "shelf": interior.shelf,
    "speaker": tools.speaker,
    "table": interior.table,
    "tent": tools.tent,
    "towel": interior.towel,
    "vase": interior.vase,
}


def draw(kind: str, number: int) -> str:
    """Return an SVG document, 400 units square; an unknown kind is drawn as a vase."""
    rng = random.Random(f"{kind}-{number}")
    colours = _palette(rng)
    thing = KINDS.get(kind, interior.vase)(colours, rng)
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
    strength = rng.randint(20, 40)
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
