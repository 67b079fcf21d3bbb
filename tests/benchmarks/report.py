"""The table: ratios of one run, and the goals."""

from __future__ import annotations

import platform
from collections.abc import Iterable
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
        f"| µs per call (best block) | {' | '.join(columns)} | ours | goal |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for title, found in outcome.cases.items():
        cells = [_cell(found[name], CASES[title]) for name in columns]
        lines.append(f"| `{title}` | {' | '.join(cells)} | {' | '.join(_goal(title, found))} |")
    sizes = [f"{outcome.bytes_per_row.get(name, 0):.0f}" for name in columns]
    ours = outcome.bytes_per_row.get("cachepatterns", 0)
    mark = "✓" if ours <= GOAL_BYTES else "✗"
    lines.append(
        f"| bytes per cached row | {' | '.join(sizes)} | {ours:.0f} {mark} | ≤ {GOAL_BYTES} |"
    )
    notes = [
        "",
        "\\* reached the database though it had been asked before; "
        "† answered something else than Django without a cache.",
        "",
        "Of misses and writes: what ours takes longer than uncached; in brackets what the floor "
        "does.",
        "",
        versions(),
    ]
    return "\n".join([*lines, *notes])


def _cell(found: Measured, case: Case) -> str:
    marks = ("" if found.hits or case.kind is Kind.WRITE else " \\*") + (
        "" if found.right else " †"
    )
    return f"{found.best * 1e6:.0f}{marks}"


def _goal(title: str, found: dict[str, Measured]) -> tuple[str, str]:
    case = CASES[title]
    base = found.get("floor" if case.kind is Kind.HIT else "uncached")
    ours = found.get("cachepatterns")
    if base is None or ours is None:
        return "", ""
    if case.kind is Kind.HIT:
        ratio = ours.best / base.best
        mark = "✓" if ratio <= case.goal else "✗"
        return f"{ratio:.2f} × floor {mark}", f"≤ {case.goal:g} ×"
    if case.kind is Kind.NEAR:
        mark = "✓" if ours.best * 1e6 <= case.goal else "✗"
        return f"{ours.best * 1e6:.1f} µs {mark}", f"≤ {case.goal:g} µs"
    added = (ours.best - base.best) * 1e6
    mark = "✓" if added <= case.goal else "✗"
    floor = found.get("floor")
    beside = f" ({(floor.best - base.best) * 1e6:+.0f})" if floor is not None else ""
    return f"{added:+.0f} µs{beside} {mark}", f"≤ +{case.goal:.0f} µs"


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
