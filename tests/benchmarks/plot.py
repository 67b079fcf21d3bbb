"""The plot of docs/performance.md, from the figures of a run.

``python -m tests.benchmarks.plot figures.json docs/performance.svg``
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

COLOURS = {
    "cachepatterns": "#0b6e4f",
    "floor": "#9aa0a6",
    "cache-aside": "#c9b458",
    "cacheops": "#c8553d",
    "cachalot": "#5f6caf",
}
"""By contender; ours is drawn last, on top of the others."""
LEAST, MOST = 1 / 32, 8.0
"""The ends of the axis: shares of the time that Django takes without a cache."""
LEFT, WIDTH, ROW, TOP = 250, 560, 26, 62


def as_svg(cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """One line for each case, one dot for each contender."""
    height = TOP + ROW * len(cases) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 30} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="100%" height="{height}" fill="#fff"/>',
        "<title>Time of a call, as a share of the time without a cache</title>",
    ]
    bottom = TOP + ROW * len(cases)
    exponent = round(math.log2(LEAST))
    while 2.0**exponent <= MOST:
        share, x = 2.0**exponent, _x(2.0**exponent)
        colour = "#555" if exponent == 0 else "#e3e3e3"
        parts.append(f'<path d="M{x:.1f} {TOP - 8}V{bottom}" stroke="{colour}"/>')
        text = f"{share:g}×" if share >= 1 else f"1/{1 / share:g}"
        parts.append(_text(x, bottom + 18, text, "middle", "#555"))
        exponent += 1
    for at, (name, colour) in enumerate(COLOURS.items()):
        parts.append(f'<circle cx="{LEFT + at * 112}" cy="20" r="5" fill="{colour}"/>')
        parts.append(_text(LEFT + at * 112 + 10, 24, name, "start", "#222"))
    parts.append(_text(_x(1), TOP - 14, "without a cache", "middle", "#555"))
    for number, (title, found) in enumerate(cases.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(_text(LEFT - 14, y + 4, title, "end", "#222"))
        base = found.get("uncached", {}).get("best")
        for name in reversed(COLOURS):
            if base and name in found:
                x = _x(found[name]["best"] / base)
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[name]}" '
                    f'fill-opacity="0.9"><title>{escape(name)}</title></circle>'
                )
    return "\n".join([*parts, "</svg>", ""])


def _x(share: float) -> float:
    least, most = math.log2(LEAST), math.log2(MOST)
    at = (math.log2(share) - least) / (most - least)
    return LEFT + WIDTH * min(1.0, max(0.0, at))


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    figures = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(as_svg(figures["cases"]))
