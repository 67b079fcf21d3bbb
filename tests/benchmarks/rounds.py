"""The rounds: every case, every contender in turn, and what must hold for each block."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
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

    When the clock has stopped, answers are compared with Django's own without a cache: all of the
    first timed block of each turn and the last of every later one, and of hits one to each
    argument before; after writes, what the contender reads as the rows that were written.
    """
    blocks: dict[str, list[float]] = {name: [] for name in workers}
    hits, right = dict.fromkeys(workers, True), dict.fromkeys(workers, True)
    for worker in workers.values():
        worker.tell("flush")
        if case.kind is not Kind.MISS:
            worker.tell("warm", case=case.title)
    is_steady = case.kind in (Kind.HIT, Kind.NEAR)
    if is_steady:
        _expect(case, workers, workers, workers["uncached"].tell("arguments"))
        for name, worker in workers.items():
            worker.tell("ask_all", case=case.title)
            right[name] = not worker.tell("wrong")
    for round_ in range(rounds):
        for name, worker in workers.items():
            placing.begin(worker, round_, always=apart)
            timed = worker.tell("time", case=case.title, seconds=seconds)
            blocks[name] += timed["seconds"]
            expected = 0 if is_steady and CONTENDERS[name].caches else timed["calls"]
            hits[name] = hits[name] and timed["statements"] == expected
            if case.kind is Kind.NEAR and name == "cachepatterns":
                hits[name] = hits[name] and timed["commands"] < timed["calls"] / 100
            if not is_steady:  # what was written, the next contender writes too
                _expect(case, workers, [name], timed["asked"])
        for name, worker in workers.items():
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


def _expect(
    case: Case, workers: dict[str, Worker], names: Iterable[str], asked: list[int]
) -> None:
    """Have these workers compare with what is answered to `asked` without a cache, now."""
    true = workers["uncached"].tell("answers", case=case.title, asked=asked)
    for name in names:
        workers[name].tell("expect", true=true)
