"""The faults: each a method that does it, waits as long as it lasts, and mends it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tests.faults.board import EXCUSING, IDLE
from tests.faults.cutting import CUTS, PARTINGS, Cutting
from tests.faults.killing import Killing
from tests.faults.losing import STATE_LOSSES, Losing
from tests.faults.scene import Scene

UNREACHED = frozenset({*CUTS, *PARTINGS, *STATE_LOSSES})
"""In which a writer may not reach Valkey."""


class Faults:
    """Does faults of all kinds by their names, and counts them."""

    def __init__(self, scene: Scene) -> None:
        self.journal, self.raise_if_failed = scene.journal, scene.processes.raise_if_failed
        self.scene = scene
        self.done: Counter[str] = Counter()
        self._kinds = (Killing(scene), Cutting(scene), Losing(scene))

    def do(self, name: str) -> None:
        """One fault by the name of its method, which may tell how many it was."""
        self.journal.note(f"FAULT {name}")
        parts = self.scene.plan.on_redis_error == "database" and name in UNREACHED
        if parts:
            self.journal.phase = EXCUSING
        self.done[name] += self._method(name)() or 1
        if parts:
            self._until_all_is_told()
        self.journal.note(f"FAULT {name} is over")

    def _until_all_is_told(self) -> None:
        """Writes went on without Valkey. From one lease after the last one on, nothing that
        outdates what is read is unknown, however many writers have died."""
        processes = self.scene.processes
        processes.everybody_writes()
        while any(page.owed for page in processes.all("writer")):
            processes.everybody_writes()
        time.sleep(self.scene.plan.lease)
        self.journal.phase = IDLE

    def _method(self, name: str) -> Callable[[], int | None]:
        for kind in self._kinds:
            found: Callable[[], int | None] | None = getattr(kind, name, None)
            if found is not None and not name.startswith("_"):
                return found
        raise LookupError(f"there is no fault {name!r}")
