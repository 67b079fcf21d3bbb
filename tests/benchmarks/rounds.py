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
    """Whether it answered what Django answers without a cache."""


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
    """One case in all contenders, interleaved round by round."""
    blocks: dict[str, list[float]] = {name: [] for name in workers}
    hits = dict.fromkeys(workers, True)
    for worker in workers.values():
        worker.tell("flush")
        if case.kind is not Kind.MISS:
            worker.tell("warm", case=case.title)
    digests = {}
    if case.kind in (Kind.HIT, Kind.NEAR):
        digests = {name: w.tell("answer", case=case.title) for name, w in workers.items()}
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
    for worker in workers.values():
        placing.begin(worker, 0, always=False)
    true = digests.get("uncached")
    found = {
        name: Measured(
            best=min(blocks[name]),
            median=statistics.median(blocks[name]),
            hits=hits[name],
            right=digests.get(name) == true,
        )
        for name in workers
    }
    ours = found.get("cachepatterns")
    if ours is not None and not (ours.hits and ours.right):
        what = "answered wrongly" if ours.hits else "did not reach the database as it should"
        raise RuntimeError(f"{case.title}: cachepatterns {what}")
    return found
