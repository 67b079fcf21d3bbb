"""What is read most: a fixed number of keys a process, summed up for the fleet.

Each process holds a *space-saving* sketch (Metwally, Agrawal, El Abbadi: "Efficient Computation of
Frequent and Top-k Elements in Data Streams", 2005) of the keys that `sampling` tells. With
every flush those that were certainly read more than once go to the fleet's hash of the hour,
beside what has to be kept to ask for them again (`read.again`); once a minute a sketch is begun
anew.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from cachepatterns import sampling
from cachepatterns.backends.base import Backend
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import stats_key
from cachepatterns.observe import BurstLog
from cachepatterns.sampling import Remember
from cachepatterns.stats.buckets import HOUR, MINUTES

SLOTS = 256
"""Keys that a process holds."""
REPORTED = 50
"""Those that it tells the fleet, the most read."""
KEPT_HOURS = 48

log = BurstLog()


class Hot(NamedTuple):
    """A key that is read much. ``reads`` is an estimate."""

    key: str
    label: str
    pattern: str
    reads: int


class _Slot:
    __slots__ = ("error", "label", "pattern", "reads", "remembered", "seen", "told")

    def __init__(self, label: str, pattern: str, error: int) -> None:
        self.label, self.pattern = label, pattern
        self.reads = self.error = error
        self.seen = self.told = 0
        self.remembered: bytes | None = None

    @property
    def certain(self) -> int:
        """The reads that were its own, whatever key the slot was before."""
        return self.reads - self.error


class HotReads:
    """The sketch of this process; `take` is called by its readers."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        self._minute = 0
        self._kept: dict[str, float] = {}
        sampling.renew()

    def take(self, question: Any, reads: int, remember: Remember | None) -> None:
        """A read that stands for `reads` of them."""
        key = question.key
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._room(key, question)
            slot.reads += reads
            slot.seen += 1
            is_due = slot.seen == 2 and remember is not None and self._is_unkept(key)
        if is_due and remember is not None:
            try:
                slot.remembered = remember()
            except Exception:  # the page has its answer coming, whatever is kept beside it
                log.log("cachepatterns could not keep what was asked", exc_info=True)

    def _room(self, key: str, question: Any) -> _Slot:
        """A slot for a new key: that of the least read one, whose reads may have been its own."""
        error = 0
        if len(self._slots) >= SLOTS:
            least = min(self._slots, key=lambda k: self._slots[k].reads)
            error = self._slots.pop(least).reads
        slot = self._slots[key] = _Slot(question.label, question.pattern, error)
        return slot

    def _is_unkept(self, key: str) -> bool:
        return self._clock() - self._kept.get(key, 0.0) > HOUR

    def flush(self, backend: Backend) -> None:
        """Tell the fleet what has come since; begin anew once a minute. Raises `BackendError`."""
        at = self._clock()
        with self._lock:
            slots = self._slots
            if MINUTES.number(at) != self._minute:
                self._minute, self._slots = MINUTES.number(at), {}
        if slots is not self._slots:
            sampling.renew()
        repeated = [(key, slot) for key, slot in list(slots.items()) if slot.seen > 1]
        repeated.sort(key=lambda pair: pair[1].certain, reverse=True)
        # As it is now: readers go on while it is told.
        certain = {key: slot.certain for key, slot in repeated[:REPORTED]}
        told = {key: slot for key, slot in repeated[:REPORTED] if certain[key] > slot.told}
        if not told:
            return
        counters = {_field(key, slot): certain[key] - slot.told for key, slot in told.items()}
        backend.add({hour_key(at): counters}, KEPT_HOURS * HOUR)
        for key, slot in told.items():
            slot.told = certain[key]
        kept = {key: slot.remembered for key, slot in told.items() if slot.remembered is not None}
        if kept:
            ttl = KEPT_HOURS * HOUR
            backend.store(
                [(remembered_key(key), what, ttl) for key, what in kept.items()], [], ttl
            )
            self._kept = {key: then for key, then in self._kept.items() if at - then < HOUR}
            self._kept |= dict.fromkeys(kept, at)
            for key in kept:
                told[key].remembered = None


def hottest(
    limit: int = 100,
    *,
    labels: Collection[str] | None = None,
    hours: int = 24,
    at: float | None = None,
) -> list[Hot]:
    """The keys that the fleet has read most within the last `hours`, the most read first.

    Raises `BackendError` or `ConfigurationError`.
    """
    now = time.time() if at is None else at
    keys = [hour_key(now - ago * HOUR) for ago in range(max(1, min(hours, KEPT_HOURS)))]
    summed: Counter[str] = Counter()
    for bucket in current_store().backend.counters(keys):
        summed.update(bucket)
    found = []
    for name, reads in summed.most_common():
        label, pattern, key = name.split("|", 2)
        if labels is None or label in labels:
            found.append(Hot(key, label, pattern, reads))
        if len(found) >= limit:
            break
    return found


def remembered(keys: Iterable[str]) -> list[bytes | None]:
    """What was kept of each; `None` where nothing was. Raises as `hottest`."""
    wanted = [remembered_key(key) for key in keys]
    return current_store().backend.get_many(wanted) if wanted else []


def hour_key(at: float) -> str:
    return stats_key(config().PREFIX, f"hot:{int(at // HOUR)}")


def remembered_key(key: str) -> str:
    return stats_key(config().PREFIX, f"again:{key}")


def _field(key: str, slot: _Slot) -> str:
    return f"{slot.label}|{slot.pattern.replace('|', '/')}|{key}"
