"""A run: readers and writers on hot rows, faults in between, and what came of it.

The pace is set by the readers, not by the clock, so that it is the same on any machine: writers
write about once in so many reads, and the next fault waits until the cache works again. A run
whose hit rate is low proves nothing, since a cache that never hits is never stale.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.board import COUNTED, Board, trace
from tests.faults.faults import Faults
from tests.faults.nursery import Nursery
from tests.faults.plan import Plan
from tests.faults.processes import Processes
from tests.faults.report import LEAST_HIT_RATE, Cost, Report
from tests.faults.scene import Scene
from tests.faults.servers import Servers

TELL_SECONDS = 60.0
"""How often a long run says how far it is."""


def run(plan: Plan, folder: Path, database: dict[str, Any], address: str, seed: str) -> Report:
    """Do it. `database` names the one that is read and written, `address` is where it is."""
    dice = random.Random(seed)
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(folder))
        roles = ["reader"] * plan.readers + ["writer"] * plan.writers + ["relay"] * plan.outbox
        board = Board(folder / "board", 1 + len(roles))
        settings = _settings(plan, servers, database["NAME"], folder / "board", len(board.pages))
        nursery = stack.enter_context(Nursery(settings, folder / "nursery.log"))
        processes = Processes(board, nursery, dice)
        scene = Scene(
            processes=processes,
            servers=servers,
            database=address,
            plan=plan,
            dice=dice,
        )
        for page, role in enumerate(roles, 1):
            processes.start(role, page)
        return _Course(plan, board, Faults(scene), dice, seed).run()


def _settings(
    plan: Plan, servers: Servers, database: str, board: Path, pages: int
) -> dict[str, Any]:
    """What `tests.faults.settings` is to know."""
    return {
        "database": database,
        "naive": plan.naive,
        "board": str(board),
        "pages": pages,
        "readers": servers.readers.port,
        "writers": servers.writers.port,
        "transaction_timeout": int(plan.life * 400),
        "latest": plan.life * 0.5,
        # A careless cache breaks the page when its server is late; then the oracle would see less.
        "socket_timeout": 20.0 if plan.naive else plan.life * 0.25,
        "cachepatterns": {
            "ENABLED": not plan.naive,
            "FENCE_SECONDS": plan.life,
            "ON_REDIS_ERROR": plan.on_redis_error,
            "OUTBOX": plan.outbox,
            "LEASE_SECONDS": plan.lease,
            "BREAKER_SECONDS": 0.1,
            "STATS": False,
        },
    }


class _Course:
    """The course of one run: when the next fault is due, and what is found on the way."""

    def __init__(
        self, plan: Plan, board: Board, faults: Faults, dice: random.Random, seed: str
    ) -> None:
        self.plan, self.board, self.faults, self.seed = plan, board, faults, seed
        self.deck = [name for name, count in plan.faults.items() for _ in range(count)]
        dice.shuffle(self.deck)
        self.traces: list[str] = []
        self.costs: dict[str, Cost] = {}
        self.seen = 0
        self.began = self.told = time.monotonic()

    def run(self) -> Report:
        self._measured("(start)", self._until_hits)
        while self.deck and not self._is_late():
            self._measured("(recovery)", self._until_balanced)
            kind = self.deck.pop()
            self._measured(kind, lambda kind=kind: self._do(kind))
        while self.board.total("reads") < self.plan.reads and not self._is_late():
            self._look()
            if self.plan.naive and self.seen:
                break  # it has been found out
        if not self.plan.naive:
            self._measured("(recovery)", self._until_balanced)
        return Report(
            counts={name: self.board.total(name) for name in COUNTED},
            faults=self.faults.done,
            seconds=time.monotonic() - self.began,
            seed=self.seed,
            undone=self.deck,
            costs=self.costs,
            traces=self.traces,
        )

    def _is_late(self) -> bool:
        return time.monotonic() - self.began > self.plan.seconds

    def _do(self, kind: str) -> None:
        self.faults.do(kind)
        self._until_hits()

    def _until_hits(self) -> None:
        """Wait until the cache has worked for a while."""
        enough = self.board.total("hits") + self.plan.hits_between
        while self.board.total("hits") < enough and not self._is_late():
            self._look()

    def _until_balanced(self) -> None:
        """Wait until the cache has mostly worked on the whole."""
        while not self._is_late():
            self._look()
            hits, reads = self.board.total("hits"), self.board.total("reads")
            if hits >= (LEAST_HIT_RATE + 0.03) * reads:
                return

    def _measured(self, name: str, work: Callable[[], None]) -> None:
        """Do it, and add what was read meanwhile to the cost of `name`."""
        began, reads, hits = self._now()
        work()
        now, reads_now, hits_now = self._now()
        cost = self.costs.setdefault(name, Cost())
        cost.seconds += now - began
        cost.reads += reads_now - reads
        cost.hits += hits_now - hits

    def _now(self) -> tuple[float, int, int]:
        return time.monotonic(), self.board.total("reads"), self.board.total("hits")

    def _look(self) -> None:
        time.sleep(0.01)
        self.faults.raise_if_failed()
        violations = self.board.total("violations")
        if violations > self.seen and len(self.traces) < 3 and not self.plan.naive:
            self.traces.append(trace(self.board.pages))
        self.seen = violations
        if time.monotonic() - self.told > TELL_SECONDS:
            self.told, (_, reads, hits) = time.monotonic(), self._now()
            print(
                f"{self.told - self.began:.0f} s: {reads} checked reads, {hits / reads:.0%} hits, "
                f"{sum(self.faults.done.values())} faults, {len(self.deck)} to come, "
                f"{violations} violations",
                flush=True,
            )
