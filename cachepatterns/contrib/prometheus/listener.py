"""From events to metrics.

Runs within each read and each write, which may not wait for metrics: it is put into a queue, and
counted with the next hundred, or when somebody looks at the metrics. What a label combination
needs is looked up once and kept: counting a hit is a look into a dictionary, one increment and one
observation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from cachepatterns.contrib.prometheus import metrics
from cachepatterns.core import outcome
from cachepatterns.core.tag import count_of
from cachepatterns.observe import (
    ErrorEvent,
    Event,
    InvalidationEvent,
    PatternEvent,
    ReadEvent,
    RefreshEvent,
    ShadowEvent,
    StateEvent,
    WarmEvent,
)

MAX_PATTERNS = 300
"""Patterns of all models that are told apart; further ones are counted as ``other``."""
MAX_WORDS = 100
"""Reasons, sources and kinds that are told apart."""
OTHER = "other"
COUNT_AT = 100
"""Reads and writes after which the next one counts them all: a tenth of a millisecond."""

Add = Callable[[float], None]
FAILED = "flight failed"
_BREAKS = frozenset({"timeout", "connection", "auth"})


class Bounded:
    """The first so many words; for all others, one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[Any] = set()

    def __call__(self, word: str, *of: str) -> str:
        """`word`, told apart from those of others that are not `of` the same."""
        name = (*of, word)
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return word


class _Reads:
    """What one way for the reads of one pattern to end is counted by."""

    __slots__ = ("bypassed", "count", "load", "size", "stale", "took", "waited")

    def __init__(self, label: str, pattern: str, how: str, operation: str) -> None:
        self.count: Add = metrics.requests.labels(label, pattern, how).inc
        self.bypassed = how == outcome.BYPASS
        self.took: Add = metrics.operations.labels(operation).observe
        self.load: Add = metrics.loads.labels(label, pattern).observe
        self.size: Add = metrics.sizes.labels(label).observe
        self.waited = how == outcome.SHARED
        self.stale = how == outcome.STALE


class Listener:
    """A listener of `cachepatterns.observe`; made once a process."""

    def __init__(self) -> None:
        self._pattern = Bounded(MAX_PATTERNS)
        self._word = Bounded(MAX_WORDS)
        self._reads: dict[tuple[str, str, str, bool], _Reads] = {}
        self._memo: dict[tuple[Any, ...], Add] = {}
        self._invalidate: Add = metrics.operations.labels("invalidate").observe
        self._waiting: deque[ReadEvent | InvalidationEvent] = deque()
        self._most = 0 if metrics.READ_ELSEWHERE else COUNT_AT

    def __call__(self, event: Event) -> None:
        if type(event) is ReadEvent or type(event) is InvalidationEvent:
            self._waiting.append(event)
            if len(self._waiting) > self._most:
                self.count_waiting()
        elif isinstance(event, ErrorEvent):
            self._error(event)
        elif isinstance(event, StateEvent):
            self._state(event)
        elif isinstance(event, PatternEvent):
            self._count(metrics.patterns, event.label, self._word(event.what, "what"))(event.count)
        elif isinstance(event, RefreshEvent):
            what = self._word(f"refresh: {event.result}", "what")
            self._count(metrics.patterns, event.label, what)(1)
            if event.stored_bytes:
                metrics.sizes.labels(event.label).observe(event.stored_bytes)
        elif isinstance(event, WarmEvent):
            self._count(metrics.warmed, event.label)(event.stored)
        elif isinstance(event, ShadowEvent):
            self._count(metrics.shadowed, event.label, event.verdict)(1)

    def count_waiting(self) -> None:
        """Count what was heard of; several threads may do so at once."""
        while True:
            try:
                event = self._waiting.popleft()
            except IndexError:
                return
            if isinstance(event, ReadEvent):
                self._read(event)
            else:
                self._invalidation(event)

    def _read(self, event: ReadEvent) -> None:
        name = (event.label, event.pattern, event.outcome, event.count > 1)
        known = self._reads.get(name)
        if known is None:
            known = self._known(*name)
        known.count(event.count)
        if known.bypassed:
            self._count(metrics.bypasses, event.label, self._word(event.reason, "bypass"))(1)
            return
        known.took(max(0.0, event.seconds - event.load_seconds))
        if event.load_seconds:
            known.load(event.load_seconds)
        if event.stored_bytes:
            known.size(event.stored_bytes)
        if known.waited:
            self._count(metrics.waits, "shared")(1)
        elif event.reason == FAILED:
            self._count(metrics.waits, "failed")(1)
        elif known.stale:
            what = self._word(f"stale: {event.reason}", "what")
            self._count(metrics.patterns, event.label, what)(event.count)

    def _known(self, label: str, pattern: str, how: str, is_many: bool) -> _Reads:
        # A pattern too many finds the common entry anew each time, and takes no room.
        name = (label, self._pattern(pattern, label), how, is_many)
        known = self._reads.get(name)
        if known is None:
            operation = "get_many" if is_many else "get"
            known = self._reads[name] = _Reads(label, name[1], how, operation)
        return known

    def _invalidation(self, event: InvalidationEvent) -> None:
        source = self._word(event.source, "source")
        for label in event.labels:
            # Named tags by their family, which a project has few of.
            told = self._pattern(label, "#") if label.startswith("#") else label
            self._count(metrics.invalidations, told, source)(1)
            self._count(metrics.tags, told)(count_of(label, event.tags))
        self._invalidate(event.seconds)
        if not event.delivered:
            metrics.failures.inc()

    def _error(self, event: ErrorEvent) -> None:
        self._count(metrics.errors, event.operation, self._word(event.kind, "kind"))(1)
        if event.kind in _BREAKS:
            metrics.breaker.set(1)

    def _state(self, event: StateEvent) -> None:
        metrics.breaker.set(event.breaker_open)
        if event.outbox_pending is not None:
            metrics.pending.set(event.outbox_pending)
            metrics.oldest.set(event.outbox_oldest_seconds or 0.0)

    def _count(self, metric: Any, *labels: str) -> Add:
        name = (metric, *labels)
        known = self._memo.get(name)
        if known is None:
            known = self._memo[name] = metric.labels(*labels).inc
        return known


listener = Listener()
"""That of this process."""
metrics.bring_up_to_date.append(listener.count_waiting)
