"""Whether a write costs more the more is cached of its table."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "save() beside few and many cached entries of its table"
GOAL = 1.1
FEW = 100


def run(crew: Crew, *, quick: bool) -> Table:
    many = 1_000 if quick else 100_000
    columns = ["contender", f"{FEW:,} entries", f"{many:,} entries", "ratio", "goal"]
    found = Table(TITLE, columns)
    name = "cachepatterns"
    with crew.several(name, 1) as (worker,):
        worker.tell("flush")
        times = {}
        for entries in (FEW, many):
            worker.tell(f"{__name__}.fill", entries=entries)
            times[entries] = min(worker.tell(f"{__name__}.write", seconds=0.3 if quick else 3.0))
        few, most = times[FEW], times[many]
        mark = " ✓" if most <= few * GOAL else " ✗"
        goal = f"≤ {GOAL:g}"
        found.figures = {"few": few, "many": most}
        found.add(
            name, f"{few * 1e6:.0f} µs", f"{most * 1e6:.0f} µs", f"{most / few:.2f}{mark}", goal
        )
    return found


# -- in the contender's process ---------------------------------------------------------------


def fill(bench: Any, entries: int) -> int:
    """Have so many different questions about the table answered before."""
    from tests.benchmarks.seed import PRODUCTS

    asked = getattr(bench, "asked_to_grow", 0)
    while asked < entries:
        column, n = divmod(asked, PRODUCTS)
        if column == 0:
            bench.questions.get_pk(n + 1)
        elif column == 1:
            bench.questions.get_slug(n + 1)
        elif column == 2:
            bench.questions.exists(n + 1)
        else:
            bench.questions.priced(n + 1, column)
        asked += 1
    bench.asked_to_grow = asked
    return asked


def write(bench: Any, seconds: float) -> list[float]:
    """The seconds per `save()` of each block."""
    import itertools

    from tests.benchmarks.timing import time_blocks

    for n in range(1, 33):
        bench.questions.save(n)
    return time_blocks(bench.questions.save, itertools.cycle(range(1, 33)), seconds, 10**9).seconds
