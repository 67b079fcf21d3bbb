"""What a report says of a pattern, a model or everything: sums, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cachepatterns.stats.callsites import CallSite
from cachepatterns.stats.histogram import quantile


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Durations in seconds; `None` where nothing was measured."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def p50(self) -> float | None:
        return quantile(self.counts, 0.50)

    @property
    def p95(self) -> float | None:
        return quantile(self.counts, 0.95)

    @property
    def p99(self) -> float | None:
        return quantile(self.counts, 0.99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """Sums over some reads and writes. Times are seconds, sizes bytes.

    A *call* is a read as the caller made it; ``in_bulk()`` of 20 rows is one call and 20
    reads.
    """

    hits: int = 0
    """Answered from the cache, negative answers included."""
    negatives: int = 0
    """Those of the hits that told that there is nothing."""
    near: int = 0
    """Those of the hits that the process's own memory answered."""
    stale: int = 0
    """Those of the hits that an entry past its time has answered."""
    misses: int = 0
    outdated: int = 0
    """Those of the misses that found an entry which a write had made worthless."""
    shared: int = 0
    bypasses: int = 0
    failures: int = 0
    """Reads that met a failing cache."""
    hit_calls: int = 0
    shared_calls: int = 0
    load_calls: int = 0
    hit_seconds: float = 0.0
    miss_seconds: float = 0.0
    load_seconds: float = 0.0
    stored_entries: int = 0
    stored_bytes: int = 0
    invalidations: int = 0
    coarse: int = 0
    undelivered: int = 0
    tags: int = 0
    bypass_reasons: Mapping[str, int] = field(default_factory=dict)
    unstored_reasons: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    call_sites: Mapping[CallSite, int] = field(default_factory=dict)
    """Where the coarse writes came from."""
    done: Mapping[str, int] = field(default_factory=dict)
    """What patterns did: rows written through, increments, batches flushed and the like."""
    hit_latency: Latency = Latency()
    load_latency: Latency = Latency()

    @property
    def reads(self) -> int:
        """All reads, those the cache was not asked for included."""
        return self.asked + self.bypasses

    @property
    def asked(self) -> int:
        """The reads that were questions for the cache."""
        return self.hits + self.shared + self.misses + self.failures

    @property
    def hit_rate(self) -> float | None:
        """The share of questions answered without asking the database, 0 to 1."""
        return (self.hits + self.shared) / self.asked if self.asked else None

    @property
    def mean_load(self) -> float | None:
        """Seconds one load from the database takes on average."""
        return self.load_seconds / self.load_calls if self.load_calls else None

    @property
    def mean_hit(self) -> float | None:
        """Seconds one hit takes on average."""
        return self.hit_seconds / self.hit_calls if self.hit_calls else None

    @property
    def writes_per_read(self) -> float | None:
        return self.invalidations / self.asked if self.asked else None

    @property
    def reads_per_entry(self) -> float | None:
        """How often a stored entry is used again."""
        return (self.hits + self.shared) / self.stored_entries if self.stored_entries else None

    @property
    def mean_size(self) -> float | None:
        """Bytes of a stored entry on average."""
        return self.stored_bytes / self.stored_entries if self.stored_entries else None

    @property
    def queries_avoided(self) -> int:
        """Estimated: each call that was answered without the database spared it a query."""
        return self.hit_calls + self.shared_calls

    @property
    def database_seconds_avoided(self) -> float:
        """Estimated: as long as the average load took, for each query spared."""
        return self.queries_avoided * (self.mean_load or 0.0)

    @property
    def net_seconds(self) -> float | None:
        """Estimated: what callers waited less, minus what misses cost them more; `None` where
        no load was measured."""
        load = self.mean_load
        if load is None:
            return None
        gained = self.hit_calls * load - self.hit_seconds
        return gained - max(0.0, self.miss_seconds - self.load_seconds)

    @property
    def after_writes(self) -> int:
        """The misses that a write is to blame for: it had outdated what was there, or its
        writer was still registered."""
        return self.outdated + self.unstored_reasons.get("writer registered", 0)
