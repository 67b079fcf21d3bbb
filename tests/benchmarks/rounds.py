"""The rounds: every case, every contender in turn, and what must hold for each block."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks import placing
from tests.benchmarks.cases import Case, Kind
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.crew import Worker


@dataclass
class Measured:
    """One contender in one case, in seconds per call."""

    best: float
    median: float
    hits: bool
    """Whether every timed call was answered without the database."""
    right: bool
    """Whether it answered what Django answers without a cache, within the timed blocks; after
    writes, whether it read what the database has."""


@dataclass
class Outcome:
    """What one run has measured: by case title and contender's name."""

    cases: dict[str, dict[str, Measured]] = field(default_factory=dict)
    bytes_per_row: dict[str, float] = field(default_factory=dict)


def run(
    cases: Sequence[Case],
    workers: dict[str, Worker],
    rounds: int,
    seconds: float,
    rows: int,
    *,
    apart: bool = False,
) -> Outcome:
    """Measure; raises `RuntimeError` if one of ours answers wrongly or misses. `apart` is for
    `placing.begin`."""
    outcome = Outcome()
    for case in cases:
        sys.stderr.write(f"{case.title} …\n")
        outcome.cases[case.title] = measure(case, workers, rounds, seconds, apart=apart)
    for name, worker in workers.items():
        if CONTENDERS[name].caches:
            outcome.bytes_per_row[name] = worker.tell("memory", rows=rows)
    return outcome


def measure(
    case: Case, workers: dict[str, Worker], rounds: int, seconds: float, *, apart: bool
) -> dict[str, Measured]:
    """One case in all contenders, interleaved round by round.

    After each turn, when the clock has stopped, answers are compared with Django's own without a
    cache: all of the first timed block and the last of every later one; after writes, what the
    contender reads in the place of all rows that were written.
    """
    blocks: dict[str, list[float]] = {name: [] for name in workers}
    hits, right = dict.fromkeys(workers, True), dict.fromkeys(workers, True)
    for worker in workers.values():
        worker.tell("flush")
        if case.kind is not Kind.MISS:
            worker.tell("warm", case=case.title)
    known: dict[str, list[int]] = {}
    for round_ in range(rounds):
        for name, worker in workers.items():
            placing.begin(worker, round_, always=apart)
            timed = worker.tell("time", case=case.title, seconds=seconds)
            blocks[name] += timed["seconds"]
            is_hit = case.kind in (Kind.HIT, Kind.NEAR) and CONTENDERS[name].caches
            expected = 0 if is_hit else timed["calls"]
            hits[name] = hits[name] and timed["statements"] == expected
            if case.kind is Kind.NEAR and name == "cachepatterns":
                hits[name] = hits[name] and timed["commands"] < timed["calls"] / 100
            if name != "uncached":
                asked = timed["asked"]
                # To what is asked again and again, and nobody changes, the answers are told once.
                if case.kind in (Kind.MISS, Kind.WRITE) or not {*asked} <= {*known.get(name, ())}:
                    true = workers["uncached"].tell("answers", case=case.title, asked=asked)
                    worker.tell("expect", true=true)
                    known[name] = asked
                right[name] = not worker.tell("wrong") and right[name]
    for worker in workers.values():
        placing.begin(worker, 0, always=False)
    found = {
        name: Measured(
            best=min(blocks[name]),
            median=statistics.median(blocks[name]),
            hits=hits[name],
            right=right[name],
        )
        for name in workers
    }
    ours = found.get("cachepatterns")
    if ours is not None and not (ours.hits and ours.right):
        what = "answered wrongly" if ours.hits else "did not reach the database as it should"
        raise RuntimeError(f"{case.title}: cachepatterns {what}")
    return found
