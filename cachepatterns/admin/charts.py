"""Charts as numbers: where each bar and line of a drawing goes. The templates draw SVG.

A chart is drawn 100 units high and stretched to its place; texts stand beside it as HTML,
so that they keep their size at any width.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from cachepatterns.stats.numbers import Numbers
from cachepatterns.stats.report import Point
from cachepatterns.templatetags.cachepatterns_numbers import amount, milliseconds, percent

HEIGHT = 100.0
STEP = 10.0
"""Units from one point of time to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rect:
    kind: str
    x: float
    y: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line in pieces: it breaks where nothing was measured. ``dots`` are lone points."""

    kind: str
    title: str
    pieces: tuple[str, ...]
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    name: str
    title: str
    width: float
    marks: tuple[tuple[float, str], ...]
    """Heights with a line across, and what is written beside them."""
    legend: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[datetime.datetime, tuple[str, ...]], ...]
    """The same in numbers, for the table; newest first, times without reads left out."""
    tips: tuple[tuple[float, str], ...]
    times: tuple[datetime.datetime, ...]
    rects: tuple[Rect, ...] = ()
    lines: tuple[Line, ...] = ()
    guides: tuple[tuple[float, str], ...] = ()


def outcomes_chart(series: Sequence[Point]) -> Chart:
    """Hits, stale ones, shared loads, misses, bypasses and errors over time, as stacked bars."""
    legend = (
        ("hit", _("hits")),
        ("stale", _("past their time")),
        ("shared", _("shared loads")),
        ("miss", _("misses")),
        ("bypass", _("bypasses")),
        ("error", _("errors")),
    )
    values = [_outcomes(point.numbers) for point in series]
    top = nice(max((sum(row) for row in values), default=0))
    rects = []
    for position, row in enumerate(values):
        y = HEIGHT
        for (kind, _title), value in zip(legend, row, strict=True):
            height = HEIGHT * value / top
            if value:
                y -= height
                rects.append(Rect(kind=kind, x=position * STEP + 1, y=_r(y), height=_r(height)))
    return Chart(
        name="outcomes",
        title=_("Reads by outcome"),
        marks=((0.0, amount(top)), (HEIGHT / 2, amount(top / 2)), (HEIGHT, "0")),
        rects=tuple(rects),
        **_frame(series, legend, lambda n: tuple(amount(v) for v in _outcomes(n))),
    )


def rate_chart(series: Sequence[Point]) -> Chart:
    """The hit rate over time, with lines at 80 and 50 per cent."""
    legend = (("rate", _("hit rate")),)
    return Chart(
        name="rate",
        title=_("Hit rate"),
        marks=((0.0, "100 %"), (20.0, "80 %"), (50.0, "50 %"), (HEIGHT, "0")),
        guides=((20.0, "fine"), (50.0, "hurting")),
        lines=(_line("rate", legend[0][1], [p.numbers.hit_rate for p in series], 1.0),),
        **_frame(series, legend, lambda n: (percent(n.hit_rate),)),
    )


def latency_chart(series: Sequence[Point]) -> Chart:
    """How long hits take: median, 95th and 99th percentile."""
    legend = (("p50", "p50"), ("p95", "p95"), ("p99", "p99"))
    values = [_latencies(point.numbers) for point in series]
    top = nice(max((v for row in values for v in row if v is not None), default=0.001) * 1000)
    top /= 1000
    lines = tuple(
        _line(kind, title, [row[index] for row in values], top)
        for index, (kind, title) in enumerate(legend)
    )
    return Chart(
        name="latency",
        title=_("Time a hit takes"),
        marks=((0.0, milliseconds(top)), (HEIGHT / 2, milliseconds(top / 2)), (HEIGHT, "0")),
        lines=lines,
        **_frame(series, legend, lambda n: tuple(milliseconds(v) for v in _latencies(n))),
    )


def sparkline(series: Sequence[Point]) -> Line:
    """The hit rate over time, small."""
    return _line("rate", "", [p.numbers.hit_rate for p in series], 1.0)


def nice(value: float) -> float:
    """The next round number from `value` up: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if value <= step * power * 1.0001))


def _outcomes(n: Numbers) -> tuple[int, ...]:
    return (n.hits - n.stale, n.stale, n.shared, n.misses, n.bypasses, n.failures)


def _latencies(n: Numbers) -> tuple[float | None, ...]:
    return (n.hit_latency.p50, n.hit_latency.p95, n.hit_latency.p99)


def _frame(
    series: Sequence[Point],
    legend: tuple[tuple[str, str], ...],
    cells: Callable[[Numbers], tuple[str, ...]],
) -> dict[str, Any]:
    told = [(point, cells(point.numbers)) for point in series]
    quarters = [series[len(series) * k // 4] for k in range(4)] if series else []
    titles = [title for _kind, title in legend]
    return {
        "width": max(1, len(series)) * STEP,
        "legend": legend,
        "columns": tuple(titles),
        "rows": tuple((_time(p), row) for p, row in reversed(told) if p.numbers.reads),
        "tips": tuple(
            (position * STEP, "\n".join(f"{t}: {v}" for t, v in zip(titles, row, strict=True)))
            for position, (point, row) in enumerate(told)
            if point.numbers.reads
        ),
        "times": tuple(_time(point) for point in quarters),
    }


def _line(kind: str, title: str, values: Sequence[float | None], top: float) -> Line:
    pieces: list[list[tuple[float, float]]] = [[]]
    for position, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            y = HEIGHT - HEIGHT * min(value, top) / top
            pieces[-1].append((_r(position * STEP + STEP / 2), _r(y)))
    return Line(
        kind=kind,
        title=title,
        pieces=tuple(" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1),
        dots=tuple(piece[0] for piece in pieces if len(piece) == 1),
    )


def _time(point: Point) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(point.at, tz=datetime.UTC)


def _r(value: float) -> float:
    return round(value, 2)
