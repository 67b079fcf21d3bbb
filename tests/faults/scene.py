"""What faults are done to."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.board import Page
from tests.faults.plan import Plan
from tests.faults.processes import Processes
from tests.faults.servers import Servers
from tests.faults.writing import CLOSES, POINTS


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The processes and the servers of a run."""

    processes: Processes
    servers: Servers
    database: str
    """Where it is, as libpq reads it."""
    plan: Plan
    dice: random.Random

    @property
    def journal(self) -> Page:
        return self.processes.journal

    @property
    def points(self) -> tuple[str, ...]:
        """Those of `POINTS` that writes come to: with the outbox they close no guards."""
        closing = CLOSES if self.plan.outbox else ""
        return tuple(point for point in POINTS if point != closing)
