"""What faults are done to."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.board import Page
from tests.faults.processes import Processes
from tests.faults.servers import Servers


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The processes, the servers and the times of a run."""

    processes: Processes
    servers: Servers
    database: str
    """Where it is, as libpq reads it."""
    life: float
    lease: float
    outbox: bool
    dice: random.Random

    @property
    def journal(self) -> Page:
        return self.processes.journal
