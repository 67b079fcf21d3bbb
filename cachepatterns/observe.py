"""Where the journeys report what they did, without knowing who listens.

The composition root (`apps.py`) connects the statistics recorder; development tools
add their own listeners for the time of one request. A listener that raises is logged
once per burst and never disturbs a read or a write.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

logger = logging.getLogger("cachepatterns")


class ReadEvent(msgspec.Struct, frozen=True, gc=False):
    """One read that a cached queryset answered.

    ``seconds`` is the whole time; ``load_seconds`` the part spent in the database.
    ``label`` is the model (``shop.product``), ``pattern`` the shape of the query
    (``list:category``), ``outcome`` one of `cachepatterns.core.outcome`, ``reason`` why
    a bypass or an unstored load happened (empty otherwise), ``stored_bytes`` the size
    written to the cache by this read (0 if nothing was), ``count`` how many reads this
    event stands for (``in_bulk`` reads many rows at once), ``outdated`` how many of them
    found an entry that a write had made worthless.
    """

    label: str
    pattern: str
    outcome: str
    seconds: float = 0.0
    load_seconds: float = 0.0
    stored_bytes: int = 0
    reason: str = ""
    count: int = 1
    outdated: int = 0


class RefreshEvent(msgspec.Struct, frozen=True, gc=False):
    """An entry that was refreshed, or was to be, without a reader who waited for it.

    ``result`` is one of `cachepatterns.core.outcome.REFRESHES`, ``reason`` why it was skipped;
    ``load_seconds`` is what the load took, ``stored_bytes`` what was written.
    """

    label: str
    pattern: str
    result: str
    reason: str = ""
    load_seconds: float = 0.0
    stored_bytes: int = 0


class InvalidationEvent(msgspec.Struct, frozen=True, gc=False):
    """Tags that were bumped, and why. ``seconds`` is the time the bump took its writer."""

    labels: tuple[str, ...]
    tags: tuple[str, ...]
    source: str
    using: str | None = None
    object_pk: str | None = None
    object_label: str | None = None
    seconds: float = 0.0
    delivered: bool = True
    coarse: bool = False
    site: str = ""
    """For coarse writes, the file:line in the user's code that wrote."""
    rows: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Rows that are to be written through: of which model, and what they hold in the narrowed
    columns. For the journeys; listeners are given none."""


class PatternEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that a pattern beside plain reads and writes did to a model: ``what``
    (``written through``, ``increments``, …), ``count`` times, and for failures the reason."""

    label: str
    what: str
    count: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A cache error that was survived. ``kind`` is e.g. ``timeout`` or ``corrupt``."""

    operation: str
    kind: str
    message: str = ""


class WarmEvent(msgspec.Struct, frozen=True, gc=False):
    """What a warm-up has done for one model: how many entries are there now that were not, and
    how many were."""

    label: str
    stored: int
    already_warm: int


class StateEvent(msgspec.Struct, frozen=True, gc=False):
    """How things stand, told with every flush of the counters.

    ``breaker_open``: whether the cache is left alone at this moment, because it failed.
    ``outbox_pending`` and ``outbox_oldest_seconds``: the events that wait in all outboxes, and
    for how long the oldest of them has; `None` where there is no outbox, or nobody knows.
    """

    breaker_open: bool
    outbox_pending: int | None = None
    outbox_oldest_seconds: float | None = None


class ShadowEvent(msgspec.Struct, frozen=True, gc=False):
    """A hit that was compared with the database. ``verdict``: ``fresh``, ``stale``, ``unknown``
    (the database may answer in more than one way) or ``moving`` (a write came between)."""

    label: str
    pattern: str
    verdict: str
    key: str = ""
    difference: str = ""


Event = (
    ReadEvent
    | RefreshEvent
    | InvalidationEvent
    | PatternEvent
    | ErrorEvent
    | WarmEvent
    | StateEvent
    | ShadowEvent
)
Listener = Callable[[Event], None]

_listeners: tuple[Listener, ...] = ()
_lock = threading.Lock()
"""Held for a moment only: by who subscribes, and by whatever is logged in bursts."""


def subscribe(listener: Listener) -> None:
    """Have `listener` called with every event of this process; once, however often asked."""
    global _listeners
    with _lock:
        if listener not in _listeners:
            _listeners = (*_listeners, listener)


def unsubscribe(listener: Listener) -> None:
    """Stop calling `listener`; unknown listeners are ignored."""
    global _listeners
    with _lock:
        # By equality, as in `subscribe`: each access to a method makes a new object.
        _listeners = tuple(known for known in _listeners if known != listener)


_diverted: dict[int, Listener] = {}


@contextmanager
def diverted(listener: Listener) -> Iterator[None]:
    """Within the block, what this thread emits is told to `listener`, and to nobody else."""
    here = threading.get_ident()
    before = _diverted.get(here)
    _diverted[here] = listener
    try:
        yield
    finally:
        if before is None:
            del _diverted[here]
        else:
            _diverted[here] = before


def emit(event: Event) -> None:
    """Tell every listener about `event`."""
    if _diverted and (instead := _diverted.get(threading.get_ident())) is not None:
        instead(event)
        return
    for listener in _listeners:
        try:
            listener(event)
        except Exception:
            listener_errors.log("A cachepatterns event listener failed", exc_info=True)


@dataclass(slots=True)
class BurstLog:
    """Logs the first of a burst of like messages, then says how many it swallowed.

    One line per `interval` seconds, so that a dead Redis does not fill the disk.
    """

    interval: float = 30.0
    level: int = logging.ERROR
    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=float("-inf"))
    _suppressed: int = 0

    def log(self, message: str, *args: object, exc_info: bool = False) -> bool:
        """Log `message` unless one was logged less than `interval` seconds ago."""
        with _lock:
            now = self.clock()
            if now - self._last < self.interval:
                self._suppressed += 1
                return False
            suppressed, self._suppressed, self._last = self._suppressed, 0, now
        if suppressed:
            message = f"{message} (and {suppressed} more like it since the last line)"
        logger.log(self.level, message, *args, exc_info=exc_info)
        return True


def _after_fork() -> None:
    """A lock that another thread held is held for ever."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)

listener_errors = BurstLog()
