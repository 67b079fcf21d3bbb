"""What one request asked of the cache and of the database: gathered for the page's foot.

Held in a context variable, so that threads, tasks and `sync_to_async` each fill the log
of the request they work for.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core import outcome
from cachepatterns.observe import Event, InvalidationEvent, ReadEvent

MAX_PATTERNS = 40
"""Patterns a header names one by one; servers refuse headers beyond a few kilobytes."""
OTHER = "other"


@dataclass(slots=True)
class PageLog:
    """Outcomes by pattern, statements, and times in seconds, of one request."""

    started: float = field(default_factory=time.perf_counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    sql: int = 0
    cache_seconds: float = 0.0
    invalidations: int = 0

    def add(self, event: Event) -> None:
        if isinstance(event, ReadEvent):
            name = f"{event.label} {event.pattern}"
            if name not in self.outcomes and len(self.outcomes) >= MAX_PATTERNS:
                name = OTHER
            self.outcomes.setdefault(name, Counter())[event.outcome] += event.count
            if event.reason:
                self.reasons.setdefault(name, Counter())[event.reason] += event.count
            if event.outcome != outcome.BYPASS:
                self.cache_seconds += max(0.0, event.seconds - event.load_seconds)
        elif isinstance(event, InvalidationEvent):
            self.invalidations += 1

    @property
    def totals(self) -> list[tuple[str, int]]:
        """How often each outcome occurred, in the order of `OUTCOMES`."""
        summed: Counter[str] = Counter()
        for counts in self.outcomes.values():
            summed.update(counts)
        return [(how, summed[how]) for how in outcome.OUTCOMES if summed[how]]

    @property
    def page_seconds(self) -> float:
        return time.perf_counter() - self.started

    def server_timing(self) -> str:
        """The value of a ``Server-Timing`` header; durations in milliseconds."""
        return (
            f'sql;desc="{self.sql}", cache;dur={self.cache_seconds * 1000:.1f}, '
            f"page;dur={self.page_seconds * 1000:.1f}"
        )

    def outcomes_json(self) -> str:
        """The value of an ``X-Cache-Outcomes`` header: ``{"shop.product row:pk": {"hit": 1}}``."""
        return json.dumps(self.outcomes, separators=(",", ":"), sort_keys=True)


_current: ContextVar[PageLog | None] = ContextVar("cachepatterns_page_log", default=None)

current_log = _current.get
begin_log = _current.set
end_log = _current.reset


def hear(event: Event) -> None:
    """A listener of `cachepatterns.observe`: notes the event in the current request's log."""
    log = _current.get()
    if log is not None:
        log.add(event)


def count_statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """An execute wrapper that counts statements for the current request."""
    log = _current.get()
    if log is not None:
        log.sql += 1
    return execute(sql, params, many, context)


def watch_statements(*, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Receiver of ``connection_created``: have the connection's statements counted.

    Put first, because leaving an `execute_wrapper` block takes away the last one.
    """
    if count_statement not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, count_statement)
