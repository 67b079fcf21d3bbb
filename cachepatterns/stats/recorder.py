"""The recorder: hears every event of this process, and tells the fleet every few seconds.

Hearing must cost next to nothing, so an event is only put into a queue (one atomic
append, no lock); it is counted by the thread that flushes. Flushing never raises into
anything, never goes through the store (it would count its own errors and trip the
breaker), and keeps what it could not deliver for the next time where that is certain not
to count it twice.
"""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import msgspec
from django.core.signals import setting_changed
from django.db import connections

from cachepatterns.backends.base import Backend
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.exceptions import CachePatternsError, ConfigurationError
from cachepatterns.observe import BurstLog, Event, InvalidationEvent, StateEvent, emit
from cachepatterns.stats import fields
from cachepatterns.stats.buckets import (
    HEARTBEAT_WINDOW,
    MINUTE,
    MINUTES,
    RESOLUTIONS,
    heartbeat_key,
    recent_key,
    server_key,
)
from cachepatterns.stats.hot import HotReads
from cachepatterns.stats.invalidations import KEPT, document
from cachepatterns.stats.outboxes import outboxes
from cachepatterns.stats.tally import Tally

DRAIN_AT = 20_000
"""Events after which the thread that brings one more counts them all, whoever it is."""
WEEK = 7 * 24 * 3600.0

_NOT_APPLIED = frozenset({"connection", "auth", "loading", "readonly", "oom"})
"""Failures after which the server has counted nothing: the counters may be sent again."""

log = BurstLog()


class Recorder:
    """A listener of `cachepatterns.observe` that fills the fleet's buckets."""

    def __init__(self, *, clock: Callable[[], float] = time.time, background: bool = True) -> None:
        self._clock = clock
        self._background = background
        self.hot = HotReads(clock)
        self.quietly: Callable[[], AbstractContextManager[Any]] = nullcontext
        """What keeps others from tracing the flushes."""
        self.reset()

    def reset(self) -> None:
        """Begin anew: what a fork's child inherits is its parent's to report."""
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._process = f"{os.getpid()}-{secrets.token_hex(3)}"
        self._thread: threading.Thread | None = None
        self.forget()

    def forget(self) -> None:
        """Forget what was counted."""
        self._events: deque[tuple[float, Event] | Event] = deque()
        self._tally = Tally()
        self._recent: deque[bytes] = deque(maxlen=KEPT)
        self._dropped = 0
        self._sampled_minute = 0
        self._waiting: tuple[int | None, float | None] = (None, None)
        self.hot.forget()

    # -- hearing ------------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if not config().STATS:
            return
        events = self._events
        if type(event) is InvalidationEvent:
            events.append((self._clock(), event))
        else:
            events.append(event)
        if self._thread is None and self._background and type(event) is not StateEvent:
            self._start()
        if len(events) >= DRAIN_AT:
            self._count()

    def _start(self) -> None:
        with self._counting:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="cachepatterns-stats", daemon=True
                )
                self._thread = thread  # which looks whether it is still the one
                try:
                    thread.start()
                except RuntimeError:  # no more threads to be had: the next one tries again
                    self._thread = None

    def _run(self) -> None:
        mine = self._thread
        wake = threading.Event()
        while self._thread is mine:
            wake.wait(min(config().STATS_FLUSH_SECONDS, HEARTBEAT_WINDOW))
            if self._thread is mine:
                self.flush()

    def _count(self) -> None:
        with self._counting:
            events, tally = self._events, self._tally
            for _ in range(len(events)):
                heard = events.popleft()
                if type(heard) is tuple:
                    at, event = heard
                    self._recent.append(document(event, at))  # type: ignore[arg-type]
                else:
                    event = heard  # type: ignore[assignment]
                tally.add(event)

    # -- telling --------------------------------------------------------------------------

    def flush(self) -> bool:
        """Add what was counted to the fleet's buckets. Never raises; returns whether it did."""
        if not config().STATS:
            return False
        with self._flushing, self.quietly():
            tally, recent = Tally(), list[bytes]()
            try:
                self._count()
                with self._counting:
                    tally, self._tally = self._tally, tally
                    recent, self._recent = list(self._recent), deque(maxlen=KEPT)
                backend = current_store().backend
                self._send(backend, tally)
                self.hot.flush(backend)
                if recent:
                    backend.push(recent_key(), recent, keep=KEPT, ttl=WEEK)
                    recent = []
                self._sample_server(backend)
            except Exception as error:
                with self._counting:
                    if tally and _may_be_sent_again(error):
                        tally.merge(self._tally)
                        self._tally = tally
                    elif tally:
                        self._dropped += 1
                    room = KEPT - len(self._recent)
                    self._recent.extendleft(reversed(recent[-room:] if room else []))
                unexpected = not isinstance(error, CachePatternsError)
                log.log("cachepatterns could not flush: %s", error, exc_info=unexpected)
                return False
            finally:
                self._tell_state()
            return True

    def close(self) -> None:
        """The last flush, at the end of the process; nothing if there was nothing to count."""
        if self._thread is not None:
            self._thread = None
            self.flush()

    def _send(self, backend: Backend, tally: Tally) -> None:
        now = self._clock()
        counters = tally.written()
        if self._dropped:
            counters[fields.field(fields.DROPPED)] = self._dropped
        if self._thread is not None or not self._background:
            backend.add({heartbeat_key(now): {self._process: 1}}, 6 * HEARTBEAT_WINDOW)
        if counters:
            for resolution in RESOLUTIONS:
                key = resolution.key(resolution.number(now))
                backend.add({key: counters}, resolution.kept + resolution.seconds)
                tally.clear()  # sent once is sent: better a gap in a chart than a double count
        self._dropped = 0

    def _sample_server(self, backend: Backend) -> None:
        """Once a minute, by whichever process is first, what the server says of itself, and what
        waits in the outboxes."""
        minute = MINUTES.number(self._clock())
        if minute == self._sampled_minute:
            return
        self._sampled_minute = minute
        key = server_key(minute)
        (said,) = backend.get_many([key])
        if said is None:
            said = msgspec.json.encode({**backend.info(), **self._outbox()})
            backend.store([(key, said, MINUTES.kept + MINUTE)], [], MINUTE)
        known = msgspec.json.decode(said)
        self._waiting = known.get("outbox_pending"), known.get("outbox_oldest_seconds")

    def _outbox(self) -> dict[str, float | None]:
        """What waits in all outboxes; only our own thread asks a database, and leaves it then."""
        if not config().OUTBOX or threading.current_thread() is not self._thread:
            return {}
        try:
            found = outboxes()
        finally:
            connections.close_all()
        ages = [outbox.oldest_seconds or 0.0 for outbox in found]
        return {
            "outbox_pending": sum(outbox.backlog or 0 for outbox in found),
            "outbox_oldest_seconds": max(ages, default=0.0),
        }

    def _tell_state(self) -> None:
        with suppress(ConfigurationError):
            emit(StateEvent(current_store().is_open, *self._waiting))


def _may_be_sent_again(error: Exception) -> bool:
    return getattr(error, "kind", "") in _NOT_APPLIED


recorder = Recorder()
"""The recorder of this process, subscribed by `apps.py`."""


def _settings_changed(*, setting: str, **kwargs: object) -> None:
    # Only tests change settings of a running process; what was counted belongs to the old.
    if setting in {"CACHEPATTERNS", "CACHES"}:
        recorder.forget()


setting_changed.connect(_settings_changed, dispatch_uid="cachepatterns.recorder")
os.register_at_fork(after_in_child=recorder.reset)
atexit.register(recorder.close)
