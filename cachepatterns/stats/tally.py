"""What one process has counted since its last flush.

Not thread-safe: the recorder fills one under its lock. What is kept is bounded, however
many patterns, reasons and sources a project has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

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
)
from cachepatterns.stats import fields
from cachepatterns.stats.fields import field
from cachepatterns.stats.histogram import MICROSECONDS, bucket_of

MAX_PATTERNS = 300
"""Patterns of all models that are told apart; further ones are counted as ``other``."""
MAX_WORDS = 300
"""Reasons, sources and kinds of error that are told apart."""
MAX_SITES = 50
"""Call sites of coarse writes that are told apart."""
MAX_SITE_LENGTH = 120
OTHER = "other"

_LOADED = frozenset({outcome.MISS, outcome.ERROR})


class Reads:
    """The reads of one pattern that ended one way."""

    __slots__ = ("count", "load_seconds", "seconds", "surplus")

    def __init__(self) -> None:
        self.count = self.surplus = 0
        self.seconds = self.load_seconds = 0.0


class Tally:
    """Sums of events, and how they are written."""

    def __init__(self) -> None:
        self.reads: dict[tuple[str, str, str], Reads] = {}
        self.latency: Counter[tuple[str, str, str, int]] = Counter()
        self.words: Counter[tuple[str, str, str, str]] = Counter()
        self.sites: Counter[tuple[str, str]] = Counter()
        self._patterns: set[tuple[str, str]] = set()
        self._sites: set[str] = set()

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def __bool__(self) -> bool:
        return bool(self.reads or self.words)

    def add(self, event: Event) -> None:
        """Count one event."""
        if type(event) is ReadEvent:
            self._read(event)
        elif type(event) is InvalidationEvent:
            self._invalidation(event)
        elif type(event) is PatternEvent:
            what = f"{event.what}: {event.reason}" if event.reason else event.what
            self._word(fields.DONE, event.label, last=what, by=event.count)
        elif type(event) is ShadowEvent:
            self._word(fields.DONE, event.label, last=f"shadowed: {event.verdict}")
        elif type(event) is RefreshEvent:
            self._refresh(event)
        elif type(event) is ErrorEvent:
            self._word(fields.ERRORS, event.operation, last=event.kind)

    def _read(self, event: ReadEvent) -> None:
        label, pattern, how = event.label, event.pattern, event.outcome
        known = self.reads.get((label, pattern, how))
        if known is None:
            pattern = self._capped(label, pattern)
            known = self.reads.setdefault((label, pattern, how), Reads())
        known.count += event.count
        if event.count != 1:
            known.surplus += event.count - 1
        known.seconds += event.seconds
        if how in outcome.ANSWERED:
            if how == outcome.STALE:
                self._word(fields.DONE, label, last=f"stale: {event.reason}", by=event.count)
            self.latency[fields.HIT_LATENCY, label, pattern, bucket_of(event.seconds)] += 1
        elif how in _LOADED:
            known.load_seconds += event.load_seconds
            latency = bucket_of(event.load_seconds)
            self.latency[fields.LOAD_LATENCY, label, pattern, latency] += 1
            if event.stored_bytes:
                self._word(fields.STORED_BYTES, label, pattern, by=event.stored_bytes)
                self._word(fields.STORED_ENTRIES, label, pattern, by=event.count)
            if event.outdated:
                self._word(fields.OUTDATED, label, pattern, by=event.outdated)
            if event.reason:
                self._word(fields.UNSTORED, label, pattern, event.reason, event.count)
        elif how == outcome.BYPASS:
            self._word(fields.BYPASSED, label, pattern, event.reason, event.count)

    def _refresh(self, event: RefreshEvent) -> None:
        label, pattern = event.label, self._capped(event.label, event.pattern)
        said = f"{event.result}: {event.reason}" if event.reason else event.result
        self._word(fields.DONE, label, last=f"refresh: {said}")
        if event.stored_bytes:
            self._word(fields.STORED_BYTES, label, pattern, by=event.stored_bytes)
            self._word(fields.STORED_ENTRIES, label, pattern)

    def _invalidation(self, event: InvalidationEvent) -> None:
        self._word(fields.EVENTS)
        for label in event.labels:
            self._word(fields.INVALIDATIONS, label, last=event.source)
            self._word(fields.TAGS, label, by=count_of(label, event.tags))
            if event.coarse and _by_table(event, label):
                self._word(fields.COARSE, label)
                self._site(label, _call_site(event))
            if not event.delivered:
                self._word(fields.FAILED, label)

    def _word(
        self, kind: str, label: str = "", pattern: str = "", last: str = "", by: int = 1
    ) -> None:
        name = (kind, label, pattern, last)
        if last and name not in self.words and len(self.words) >= MAX_WORDS:
            name = (kind, label, pattern, OTHER)
        self.words[name] += by

    def _site(self, label: str, site: str, by: int = 1) -> None:
        if site not in self._sites:
            if len(self._sites) >= MAX_SITES:
                site = OTHER
            else:
                self._sites.add(site)
        self.sites[label, site] += by

    def _capped(self, label: str, pattern: str) -> str:
        if (label, pattern) not in self._patterns:
            if len(self._patterns) >= MAX_PATTERNS:
                return OTHER
            self._patterns.add((label, pattern))
        return pattern

    def merge(self, other: Tally) -> None:
        """Take over what another tally has counted."""
        for (label, pattern, how), theirs in other.reads.items():
            ours = self.reads.setdefault((label, self._capped(label, pattern), how), Reads())
            ours.count += theirs.count
            ours.surplus += theirs.surplus
            ours.seconds += theirs.seconds
            ours.load_seconds += theirs.load_seconds
        self.latency.update(other.latency)
        self.words.update(other.words)
        for (label, site), times in other.sites.items():
            self._site(label, site, times)

    def written(self) -> dict[str, int]:
        """The tally as the fields of a counter hash."""
        found = {name: amount for name, amount in self._numbers() if amount}
        for (kind, label, pattern, bucket), amount in self.latency.items():
            found[field(kind, label, pattern, str(bucket))] = amount
        for name, amount in self.words.items():
            found[field(*name)] = amount
        for (label, site), times in self.sites.items():
            found[field(fields.CALL_SITES, label, last=site)] = times
        return found

    def _numbers(self) -> Iterator[tuple[str, int]]:
        for (label, pattern, how), reads in self.reads.items():
            yield field(fields.READS, label, pattern, how), reads.count
            yield field(fields.SURPLUS, label, pattern, how), reads.surplus
            yield field(fields.MICROSECONDS, label, pattern, how), _micro(reads.seconds)
            yield field(fields.LOAD_MICROSECONDS, label, pattern, how), _micro(reads.load_seconds)


def _by_table(event: InvalidationEvent, label: str) -> bool:
    """Whether the event bumped the model's own tag, on which all of its entries rest.

    A delete that tells its rows is coarse too if the database cascades it to other models.
    """
    return any(tag.startswith(f"{label}@") and ":" not in tag for tag in event.tags)


def _call_site(event: InvalidationEvent) -> str:
    site = event.site
    if len(site) > MAX_SITE_LENGTH:
        site = "…" + site[1 - MAX_SITE_LENGTH :]  # its end tells more: the module and the line
    return fields.call_site(event.source, site)


def _micro(seconds: float) -> int:
    return round(seconds * MICROSECONDS)
