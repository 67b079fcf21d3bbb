"""The table: ratios of one run, and the goals."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

from tests.benchmarks.cases import CASES, Case, Kind
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.rounds import Measured, Outcome

GOAL_BYTES = 720


def as_markdown(outcome: Outcome, names: Iterable[str]) -> str:
    """The table of a run, in Markdown."""
    columns = [name for name in CONTENDERS if name in set(names)]
    lines = [
        f"| µs per call (best block) | {' | '.join(columns)} | ours | median | goal |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for title, found in outcome.cases.items():
        cells = [_cell(found[name], CASES[title]) for name in columns]
        lines.append(f"| `{title}` | {' | '.join(cells)} | {' | '.join(_goal(title, found))} |")
    sizes = outcome.bytes_per_row
    cells = [f"{sizes[name]:.0f}" if name in sizes else "" for name in columns]
    lines.append(f"| bytes per cached row | {' | '.join([*cells, *_goal_of_bytes(sizes)])} |")
    notes = [
        "",
        "\\* reached the database though it had been asked before; "
        "† answered something else than Django without a cache.",
        "",
        "Of misses and writes: what ours takes longer than uncached; in brackets what the floor "
        "does.",
        "",
        "Goals are judged by the best block; *median* is the same by the medians of all blocks.",
        "",
        versions(),
    ]
    return "\n".join([*lines, *notes])


def _cell(found: Measured, case: Case) -> str:
    marks = ("" if found.hits or case.kind is Kind.WRITE else " \\*") + (
        "" if found.right else " †"
    )
    return f"{found.best * 1e6:.0f}{marks}"


def _goal(title: str, found: dict[str, Measured]) -> tuple[str, str, str]:
    """What ours takes by the best block, which is judged, and by the median of all; the goal."""
    case = CASES[title]
    base = found.get("floor" if case.kind is Kind.HIT else "uncached")
    ours = found.get("cachepatterns")
    if base is None or ours is None:
        return "", "", ""
    if case.kind is Kind.HIT:
        ratio = ours.best / base.best
        mark = "✓" if ratio <= case.goal else "✗"
        median = f"{ours.median / base.median:.2f} ×"
        return f"{ratio:.2f} × floor {mark}", median, f"≤ {case.goal:g} ×"
    if case.kind is Kind.NEAR:
        mark = "✓" if ours.best * 1e6 <= case.goal else "✗"
        median = f"{ours.median * 1e6:.1f} µs"
        return f"{ours.best * 1e6:.1f} µs {mark}", median, f"≤ {case.goal:g} µs"
    added = (ours.best - base.best) * 1e6
    mark = "✓" if added <= case.goal else "✗"
    floor = found.get("floor")
    beside = f" ({(floor.best - base.best) * 1e6:+.0f})" if floor is not None else ""
    median = f"{(ours.median - base.median) * 1e6:+.0f} µs"
    return f"{added:+.0f} µs{beside} {mark}", median, f"≤ +{case.goal:.0f} µs"


def _goal_of_bytes(sizes: Mapping[str, float]) -> tuple[str, str, str]:
    """Nothing where ours was not measured: 0 bytes would be within every goal."""
    ours = sizes.get("cachepatterns")
    if ours is None:
        return "", "", ""
    return f"{ours:.0f} {'✓' if ours <= GOAL_BYTES else '✗'}", "", f"≤ {GOAL_BYTES}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    return {"versions": versions(), **asdict(outcome)}


def versions() -> str:
    """What the figures belong to."""
    packages = ["Django", "redis", "hiredis", "django-redis", "msgspec", "psycopg"]
    packages += [c.package for c in CONTENDERS.values() if c.package]
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found) + "."
