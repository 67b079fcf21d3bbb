"""The metrics, by the names that the rules and the dashboard ask for.

Plain ones of the default registry, which also count in multiprocess mode. No label ever holds a
key or a value: what is told apart is bounded (`listener.Bounded`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.values import MutexValue, ValueClass

READ_ELSEWHERE = ValueClass is not MutexValue
"""Whether other processes look at what this one has counted (multiprocess mode): they can not be
told what waits here to be counted."""

bring_up_to_date: list[Callable[[], object]] = []
"""Called before any of the metrics is looked at: they count what was heard until then."""


class _UpToDate:
    """A metric that is brought up to date before it is looked at."""

    def collect(self) -> Iterable[Metric]:
        for bring in bring_up_to_date:
            bring()
        found: Iterable[Metric] = super().collect()  # type: ignore[misc]
        return found


class _Counter(_UpToDate, Counter):
    pass


class _Histogram(_UpToDate, Histogram):
    pass


NAMESPACE: str = getattr(settings, "PROMETHEUS_METRIC_NAMESPACE", "") or ""
"""As django-prometheus has it."""

SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304)

_names: Any = {"namespace": NAMESPACE}

requests = _Counter(
    "cachepatterns_requests_total",
    "Reads through cached querysets, by how they ended.",
    ["model", "pattern", "result"],
    **_names,
)
bypasses = _Counter(
    "cachepatterns_bypasses_total",
    "Reads that were no questions for the cache, by reason.",
    ["model", "reason"],
    **_names,
)
operations = _Histogram(
    "cachepatterns_operation_duration_seconds",
    "What the cache itself took, the database's part not counted.",
    ["operation"],
    buckets=SECONDS,
    **_names,
)
loads = _Histogram(
    "cachepatterns_load_duration_seconds",
    "What the database took to answer what the cache did not hold.",
    ["model", "pattern"],
    buckets=SECONDS,
    **_names,
)
sizes = _Histogram(
    "cachepatterns_value_size_bytes",
    "Entries that were stored, as they were sent.",
    ["model"],
    buckets=BYTES,
    **_names,
)
invalidations = _Counter(
    "cachepatterns_invalidations_total",
    "Writes that have outdated entries of the model.",
    ["model", "source"],
    **_names,
)
tags = _Counter(
    "cachepatterns_invalidated_tags_total",
    "Tags that were bumped.",
    ["model"],
    **_names,
)
failures = _Counter(
    "cachepatterns_invalidation_failures_total",
    "Bumps that could not be delivered at once, and are owed.",
    **_names,
)
errors = _Counter(
    "cachepatterns_errors_total",
    "Errors of the cache that were survived.",
    ["operation", "kind"],
    **_names,
)
waits = _Counter(
    "cachepatterns_flight_waits_total",
    "Reads that waited for another's load: shared it, or had to load for themselves.",
    ["outcome"],
    **_names,
)
warmed = _Counter(
    "cachepatterns_warmed_total",
    "Entries that were stored by warming.",
    ["model"],
    **_names,
)
patterns = _Counter(
    "cachepatterns_pattern_events_total",
    "What patterns beside plain reads and writes did: rows written through, increments, ….",
    ["model", "what"],
    **_names,
)
shadowed = _Counter(
    "cachepatterns_shadow_total",
    "Hits that were compared with the database (SHADOW), by what came of it.",
    ["model", "verdict"],
    **_names,
)
breaker = Gauge(
    "cachepatterns_breaker_open",
    "1 while a process leaves the cache alone because it has failed.",
    multiprocess_mode="livemax",
    **_names,
)
pending = Gauge(
    "cachepatterns_outbox_pending",
    "Invalidations that wait in the outbox, as of the last minute.",
    multiprocess_mode="livemostrecent",
    **_names,
)
oldest = Gauge(
    "cachepatterns_outbox_oldest_seconds",
    "How long the oldest of them has been waiting.",
    multiprocess_mode="livemostrecent",
    **_names,
)

ALL = (
    requests, bypasses, operations, loads, sizes, invalidations, tags, failures, errors, waits,
    warmed, patterns, shadowed, breaker, pending, oldest,
)  # fmt: skip
