"""What a warm-up did, model by model, by what its own threads' reads have told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cachepatterns.core import outcome
from cachepatterns.observe import Event, ReadEvent

_here = threading.local()


@dataclass(kw_only=True)
class Warmed:
    """What was done for one model. ``asked`` counts querysets and hot keys."""

    label: str
    declared: bool = True
    asked: int = 0
    rows: int = 0
    stored: int = 0
    already_warm: int = 0
    skipped: int = 0
    """Done by the run that is resumed."""
    not_cached: Counter[str] = field(default_factory=Counter)
    """By reason."""
    failed: list[str] = field(default_factory=list)
    left: int = 0
    """Jobs that are still to be done."""

    @property
    def finished(self) -> bool:
        return not self.left

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "label": self.label,
            "declared": self.declared,
            "asked": self.asked,
            "rows": self.rows,
            "stored": self.stored,
            "already_warm": self.already_warm,
            "skipped": self.skipped,
            "not_cached": dict(self.not_cached),
            "failed": self.failed,
            "finished": self.finished,
        }

    @contextmanager
    def told(self) -> Iterator[None]:
        """Within the block, what this thread reads is counted here."""
        before = getattr(_here, "warmed", None)
        _here.warmed = self
        try:
            yield
        finally:
            _here.warmed = before

    def fail(self, error: Exception) -> None:
        self.failed.append(f"{type(error).__name__}: {error}")

    def __iadd__(self, other: Warmed) -> Warmed:
        self.asked += other.asked
        self.rows += other.rows
        self.stored += other.stored
        self.already_warm += other.already_warm
        self.skipped += other.skipped
        self.left += other.left
        self.not_cached += other.not_cached
        self.failed += other.failed
        return self


def hear(event: Event) -> None:
    """The listener of a run: counts the reads of threads that warm, and no others."""
    warmed: Warmed | None = getattr(_here, "warmed", None)
    if warmed is None or not isinstance(event, ReadEvent):
        return
    if event.outcome == outcome.MISS and not event.reason:
        warmed.stored += event.count
    elif event.outcome in (outcome.BYPASS, outcome.ERROR, outcome.MISS):
        warmed.not_cached[event.reason or event.outcome] += event.count
    else:
        warmed.already_warm += event.count
