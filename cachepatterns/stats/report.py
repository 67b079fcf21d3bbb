"""The report: everything the pages, `cache_stats` and the metrics say, from one place.

Read from the fleet's buckets, so every process gives the same one. Reading it never
raises and is never counted: with Redis away there is still a report, which says so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.stats import fields
from cachepatterns.stats.behinds import Behind, behinds_or_none
from cachepatterns.stats.benefit import Benefit, benefit
from cachepatterns.stats.buckets import DEFAULT_PERIOD, MINUTES, Period
from cachepatterns.stats.invalidations import Invalidation
from cachepatterns.stats.numbers import Numbers
from cachepatterns.stats.outboxes import Outbox, outboxes
from cachepatterns.stats.reading import Reading, Server, read
from cachepatterns.stats.summing import Amount, amounts, numbers
from cachepatterns.stats.verdicts import Verdict, judge


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One bucket of a time series. ``at`` is Unix time, where it begins."""

    at: int
    numbers: Numbers


@dataclass(frozen=True, kw_only=True)
class PatternReport:
    label: str
    pattern: str
    numbers: Numbers
    seconds: float = 0.0
    """How long its model was used at all, to the bucket."""
    ttl: float | None = None

    @cached_property
    def verdict(self) -> Verdict:
        return judge(self.numbers)

    @cached_property
    def benefit(self) -> Benefit | None:
        return benefit(self.numbers, self.seconds, self.ttl)


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """One model. `policy` is `None` where it is not registered (any more)."""

    label: str
    policy: ResolvedPolicy | None
    numbers: Numbers
    patterns: tuple[PatternReport, ...]
    series: tuple[Point, ...]
    seconds: float = 0.0
    """How long it was used at all, to the bucket."""

    @cached_property
    def verdict(self) -> Verdict:
        return judge(self.numbers)

    @cached_property
    def benefit(self) -> Benefit | None:
        ttl = self.policy.tier.ttl if self.policy is not None else None
        return benefit(self.numbers, self.seconds, ttl)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole fleet over one period.

    ``state``: ``ok``, ``degraded`` (errors in the last minutes, or bumps owed),
    ``unleased`` (no relay vouches for an outbox, so what rests on it is not served), ``down``
    (Redis does not answer), ``disabled``, or ``idle`` (no reads yet).
    """

    state: str
    at: float
    period: Period
    processes: int
    totals: Numbers
    now: Numbers
    reads_per_second: float
    models: tuple[ModelReport, ...]
    series: tuple[Point, ...]
    errors: Mapping[str, int]
    dropped_flushes: int
    invalidations: tuple[Invalidation, ...]
    server: Server
    trouble: str = ""
    outboxes: tuple[Outbox, ...] = ()
    behinds: tuple[Behind, ...] = ()

    def model(self, label: str) -> ModelReport | None:
        return next((model for model in self.models if model.label == label), None)

    @property
    def attention(self) -> list[ModelReport | PatternReport]:
        """What the advisor would have looked at, the most read first."""
        found: list[ModelReport | PatternReport] = []
        for model in self.models:
            found += [pattern for pattern in model.patterns if pattern.verdict.needs_attention]
            said = {r.code for pattern in model.patterns for r in pattern.verdict.reasons}
            if model.verdict.needs_attention and (
                not any(pattern.verdict.needs_attention for pattern in model.patterns)
                or any(reason.code not in said for reason in model.verdict.reasons)
            ):
                found.append(model)
        return sorted(found, key=lambda item: -item.numbers.reads)


def report(period: Period = DEFAULT_PERIOD, *, at: float | None = None) -> Report:
    """The report on `period`, which ends `at` (Unix time; now, unless given)."""
    now = time.time() if at is None else at
    starts = [number * period.resolution.seconds for number in period.numbers(now)]
    trouble, got = "", Reading(buckets=[{} for _ in starts])
    try:
        got = read(period, now)
    except CachePatternsError as error:
        trouble = str(error)
    found = [list(amounts(bucket)) for bucket in got.buckets]
    everything = [amount for bucket in found for amount in bucket]
    minutes = [list(amounts(bucket)) for bucket in got.minutes]
    latest = numbers(amount for bucket in minutes[-2:] for amount in bucket)
    totals = _totals(everything)
    series = tuple(
        Point(at=start, numbers=_totals(bucket))
        for start, bucket in zip(starts, found, strict=True)
    )
    errors = _words(everything, fields.ERRORS)
    young = _words((amount for bucket in minutes for amount in bucket), fields.ERRORS)
    found_outboxes = outboxes()
    unleased = not all(outbox.leased for outbox in found_outboxes)
    return Report(
        state=_state(trouble, totals, bool(young), unleased),
        at=now,
        period=period,
        processes=len(set().union(*got.alive)),
        totals=totals,
        now=latest,
        reads_per_second=latest.reads / (MINUTES.seconds + now % MINUTES.seconds),
        models=_models(found, starts, period.resolution.seconds),
        series=series,
        errors=errors,
        dropped_flushes=sum(a.amount for a in everything if a.kind == fields.DROPPED),
        invalidations=tuple(got.recent),
        server=got.server,
        outboxes=found_outboxes,
        behinds=behinds_or_none(),
        trouble=trouble,
    )


def _totals(found: Sequence[Amount]) -> Numbers:
    """As `numbers`, but a write that concerned three models is one invalidation."""
    events = sum(amount.amount for amount in found if amount.kind == fields.EVENTS)
    return replace(numbers(found), invalidations=events)


def _words(found: Iterable[Amount], kind: str) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for amount in found:
        if amount.kind == kind:
            counted[f"{amount.label}: {amount.last}"] += amount.amount
    return dict(counted.most_common())


def _models(
    found: Sequence[Sequence[Amount]], starts: Sequence[int], bucket_seconds: int
) -> tuple[ModelReport, ...]:
    policies = {policy.label: policy for policy in site.policies()}
    by_label: dict[str, list[list[Amount]]] = {label: [[] for _ in found] for label in policies}
    for position, bucket in enumerate(found):
        for amount in bucket:
            if amount.kind == fields.ERRORS or not amount.label:
                continue
            series = by_label.setdefault(amount.label, [[] for _ in found])
            series[position].append(amount)
    models = []
    for label, series in by_label.items():
        flat = [amount for bucket in series for amount in bucket]
        names = sorted({amount.pattern for amount in flat if amount.pattern})
        policy = policies.get(label)
        seconds = float(bucket_seconds * sum(map(bool, series)))
        patterns = [
            PatternReport(
                label=label,
                pattern=name,
                numbers=numbers(amount for amount in flat if amount.pattern == name),
                seconds=seconds,
                ttl=policy.tier.ttl if policy is not None else None,
            )
            for name in names
        ]
        models.append(
            ModelReport(
                label=label,
                policy=policy,
                numbers=numbers(flat),
                seconds=seconds,
                patterns=tuple(sorted(patterns, key=lambda p: -p.numbers.reads)),
                series=tuple(
                    Point(at=start, numbers=numbers(bucket))
                    for start, bucket in zip(starts, series, strict=True)
                ),
            )
        )
    return tuple(sorted(models, key=lambda model: (-model.numbers.reads, model.label)))


def _state(trouble: str, totals: Numbers, has_young_errors: bool, unleased: bool) -> str:
    if not config().ENABLED:
        return "disabled"
    if trouble:
        return "down"
    if unleased:
        return "unleased"
    if has_young_errors or current_store().undelivered:
        return "degraded"
    return "ok" if totals.reads else "idle"
