"""A run: readers and writers on hot rows, faults in between, and what came of it.

The pace is set by the readers, not by the clock, so that it is the same on any machine: writers
write about once in so many reads, and the next fault waits until the cache works again. A run
whose hit rate is low proves nothing, since a cache that never hits is never stale.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.board import Board, trace
from tests.faults.faults import Faults
from tests.faults.nursery import Nursery
from tests.faults.servers import Servers

LEAST_HIT_RATE = 0.60
KILLS = frozenset({"kill_at_random", "kill_at_a_point", "kill_reader"})
STATE_LOSSES = frozenset(
    {
        "flush",
        "restart_empty",
        "restart_with_data",
        "fail_over",
        "flush_under_a_writer",
        "fail_over_under_a_writer",
    }
)
CUTS = frozenset({"cut", "black_hole", "delay", "lose_answers"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what."""

    faults: dict[str, int]
    reads: int
    seconds: float
    """After which the run ends, done or not."""
    naive: bool = False
    on_redis_error: str = "refuse"
    life: float = 0.7
    """`FENCE_SECONDS`; all other times are shares of it."""
    readers: int = 3
    writers: int = 3
    hits_between: int = 80


@dataclass(kw_only=True)
class Report:
    """What came of a run."""

    counts: dict[str, int]
    faults: Counter[str]
    seconds: float
    seed: str
    undone: list[str]
    traces: list[str] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        return self.counts["hits"] / max(1, self.counts["reads"])

    def amount(self, kinds: frozenset[str]) -> int:
        return sum(self.faults[kind] for kind in kinds)

    def __str__(self) -> str:
        c = self.counts
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"{c['reads']} checked reads, {c['hits']} hits ({self.hit_rate:.0%}), "
            f"{c['writes']} writes, {c['refused']} refused, {c['disturbed']} disturbed, "
            f"{c['unjudged']} unjudged, {c['excused']} excused, {sum(self.faults.values())} faults"
            f"{f' ({kinds})' if kinds else ''}, {c['violations']} violations; "
            f"{self.seconds:.0f} s, seed {self.seed}"
        )


def run(plan: Plan, folder: Path, database: dict[str, Any], address: str, seed: str) -> Report:
    """Do it. `database` names the one that is read and written, `address` is where it is."""
    dice = random.Random(seed)
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(folder))
        pages = 1 + plan.readers + plan.writers
        board = Board(folder / "board", pages)
        settings = {
            "database": database["NAME"],
            "naive": plan.naive,
            "board": str(folder / "board"),
            "pages": pages,
            "readers": servers.readers.port,
            "writers": servers.writers.port,
            "transaction_timeout": int(plan.life * 400),
            "latest": plan.life * 0.5,
            "socket_timeout": plan.life * 0.25,
            "cachepatterns": {
                "ENABLED": not plan.naive,
                "FENCE_SECONDS": plan.life,
                "ON_REDIS_ERROR": plan.on_redis_error,
                "BREAKER_SECONDS": 0.1,
                "STATS": False,
            },
        }
        nursery = stack.enter_context(Nursery(settings, folder / "nursery.log"))
        faults = Faults(
            board=board,
            nursery=nursery,
            servers=servers,
            database=address,
            life=plan.life,
            dice=dice,
        )
        for page in range(1, pages):
            faults.start("reader" if page <= plan.readers else "writer", page)
        return _Course(plan, board, faults, dice, seed).run()


class _Course:
    """The course of one run: when the next fault is due, and what is found on the way."""

    def __init__(
        self, plan: Plan, board: Board, faults: Faults, dice: random.Random, seed: str
    ) -> None:
        self.plan, self.board, self.faults, self.seed = plan, board, faults, seed
        self.deck = [name for name, count in plan.faults.items() for _ in range(count)]
        dice.shuffle(self.deck)
        self.traces: list[str] = []
        self.seen = 0
        self.began = time.monotonic()

    def run(self) -> Report:
        while self.deck and not self._is_late():
            self._until_hits(self.plan.hits_between)
            self.faults.do(self.deck.pop())
        while self.board.total("reads") < self.plan.reads and not self._is_late():
            self._look()
            if self.plan.naive and self.seen:
                break  # it has been found out
        if not self.plan.naive:
            self._until_hits(self.plan.hits_between)
        return Report(
            counts={name: self.board.total(name) for name in _COUNTED},
            faults=self.faults.done,
            seconds=time.monotonic() - self.began,
            seed=self.seed,
            undone=self.deck,
            traces=self.traces,
        )

    def _is_late(self) -> bool:
        return time.monotonic() - self.began > self.plan.seconds

    def _until_hits(self, more: int) -> None:
        """Wait until the cache has worked for a while, and mostly works on the whole."""
        enough = self.board.total("hits") + more
        while not self._is_late():
            self._look()
            hits, reads = self.board.total("hits"), self.board.total("reads")
            if hits >= enough and hits >= (LEAST_HIT_RATE + 0.03) * reads:
                return

    def _look(self) -> None:
        time.sleep(0.01)
        self.faults.raise_if_failed()
        violations = self.board.total("violations")
        if violations > self.seen and len(self.traces) < 3 and not self.plan.naive:
            self.traces.append(trace(self.board.pages))
        self.seen = violations


_COUNTED = ("reads", "hits", "writes", "refused", "disturbed", "unjudged", "excused", "violations")
