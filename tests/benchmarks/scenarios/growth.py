"""Whether a write costs more the more is cached of its table."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.benchmarks import placing
from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "save() beside few and many cached entries of its table"
GOAL = 1.1
FEW = 100
_FREE = 10
"""The first of Redis' databases that no contender has."""


def run(crew: Crew, *, quick: bool) -> Table:
    many = 1_000 if quick else 100_000
    columns = ["contender", f"{FEW:,} entries", f"{many:,} entries", "ratio", "goal"]
    found = Table(TITLE, columns)
    name = "cachepatterns"
    with contextlib.ExitStack() as stack:
        # Side by side, by turns: nothing else differs.
        workers = {FEW: crew.start(name, _FREE), many: crew.start(name, _FREE + 1)}
        times: dict[int, list[float]] = {entries: [] for entries in workers}
        for entries, worker in workers.items():
            stack.callback(worker.close)
            worker.tell("flush")
            worker.tell(f"{__name__}.fill", entries=entries)
        for round_ in range(2 if quick else 12):
            for entries, worker in workers.items():
                placing.begin(worker, round_, always=False)
                times[entries] += worker.tell(f"{__name__}.write", seconds=0.15 if quick else 0.4)
        few, most = min(times[FEW]), min(times[many])
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
