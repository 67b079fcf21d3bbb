"""What the database held a while ago, for reads that may be a bounded time behind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

Row = tuple[int, int]
"""``(version, category)``."""
Rows = Mapping[int, Row]


@dataclass(frozen=True)
class Snapshot:
    """All that was committed at some moment, none of it later than `at`."""

    at: float
    rows: Rows
    categories: Mapping[int, int]
    """Their versions."""


class Past:
    """The snapshots of the last seconds."""

    EVERY = 0.02
    KEPT = 500

    def __init__(self) -> None:
        self._snapshots: deque[Snapshot] = deque(maxlen=self.KEPT)

    @property
    def is_due(self) -> bool:
        return not self._snapshots or time.monotonic() - self._snapshots[-1].at > self.EVERY

    def remember(self, rows: Rows, categories: Mapping[int, int]) -> None:
        """What the database has just answered."""
        self._snapshots.append(Snapshot(time.monotonic(), rows, categories))

    def before(self, moment: float) -> Snapshot | None:
        """The newest from before `moment`; `None` if we do not remember that long."""
        old = (snapshot for snapshot in reversed(self._snapshots) if snapshot.at <= moment)
        return next(old, None)
