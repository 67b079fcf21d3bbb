"""Floods of keys that do not exist: whoever asks for random ids must not fill Redis.

"There is nothing" is cached as any answer is, so each id that somebody makes up would leave an
entry, and a stamp for the tag of its row. Their number is bounded per process and model, by a
bucket of tokens: so many may be stored at once, and so many a minute. While the bucket is empty,
what nothing is known of is loaded *before* any stamp is minted; what is not there leaves nothing
at all behind, and what is there is then loaded once more, as any miss, under stamps held before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from cachepatterns.conf import config

FLOOD = "flood"
"""The reason under which it is counted that nothing was stored."""
STAMP_SECONDS = 60.0
"""By which the stamp of a row that is not there outlives the entry that says so."""


class Floods:
    """How many answers that hold nothing each model may still store. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begin with full buckets."""
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def is_on(self, label: str) -> bool:
        """Whether the model's bucket is empty."""
        known = self._left.get(label)
        return known is not None and self._filled(known) < 1.0

    def admits(self, label: str) -> bool:
        """Take one out of the model's bucket; false where there is none."""
        most = config().NEGATIVE_PER_MINUTE
        if not most:
            return True
        with self._lock:
            known = self._left.get(label)
            left = float(most) if known is None else self._filled(known)
            admitted = left >= 1.0
            self._left[label] = (left - admitted, self._clock())
            return admitted

    def _filled(self, known: tuple[float, float]) -> float:
        left, at = known
        most = config().NEGATIVE_PER_MINUTE
        return min(float(most), left + (self._clock() - at) * most / 60.0) if most else 1.0


def narrow(stamps: Sequence[str], standing: Sequence[bytes | None]) -> tuple[str, ...]:
    """Those of the missing stamps that few entries rest on: of a row, or of a field's value."""
    return tuple(
        key
        for key, stamp in zip(stamps, standing, strict=True)
        if stamp is None and "=" in key.partition(":tag:")[2]
    )


floods = Floods()
"""Those of this process."""

os.register_at_fork(after_in_child=floods.forget)
