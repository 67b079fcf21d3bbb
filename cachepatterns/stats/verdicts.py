"""The advisor: whether caching a model or a query pattern earns its keep, and what to do.

Judged from measured numbers alone, and not at all from fewer than `ENOUGH` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from cachepatterns.stats.numbers import Numbers

ENOUGH = 200
"""Reads below which nothing is said."""
LARGE_VALUE = 100_000
MEASURED = 10
"""Loads and hits below which their times say nothing."""
HEALTHY, FINE, INVESTIGATE = 0.90, 0.80, 0.50


class Level(Enum):
    """How much the cache does for what was judged."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    FINE = "fine"
    INVESTIGATE = "investigate"
    HURTING = "hurting"

    @property
    def title(self) -> str:
        return str(_TITLES[self])

    @property
    def needs_attention(self) -> bool:
        return self in (Level.INVESTIGATE, Level.HURTING)


_TITLES = {
    Level.UNKNOWN: _("not enough data"),
    Level.HEALTHY: _("healthy"),
    Level.FINE: _("fine"),
    Level.INVESTIGATE: _("investigate"),
    Level.HURTING: _("probably hurting"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Something seen in the numbers, and what to do about it. `code` is for programs."""

    code: str
    seen: str
    fix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    level: Level
    reasons: tuple[Reason, ...] = ()

    @property
    def needs_attention(self) -> bool:
        return self.level.needs_attention or bool(self.reasons)


def judge(numbers: Numbers) -> Verdict:
    """The verdict on what `numbers` were counted of."""
    rate = numbers.hit_rate
    if rate is None or numbers.asked < ENOUGH:
        return Verdict(level=Level.UNKNOWN)
    return Verdict(level=level_of(rate), reasons=tuple(_reasons(numbers, rate)))


def level_of(rate: float) -> Level:
    """The level of a hit rate between 0 and 1."""
    if rate >= HEALTHY:
        return Level.HEALTHY
    if rate >= FINE:
        return Level.FINE
    return Level.INVESTIGATE if rate >= INVESTIGATE else Level.HURTING


def _reasons(numbers: Numbers, rate: float) -> Iterator[Reason]:
    ratio = numbers.writes_per_read or 0.0
    if ratio > 1:
        yield _reason(
            "more-writes",
            gettext("%(ratio).1f writes for each read") % {"ratio": ratio},
            gettext('Don’t cache it: tier = "never".'),
        )
    uses = numbers.reads_per_entry
    misses, after_writes = numbers.misses, numbers.after_writes
    is_outdated = bool(misses) and after_writes >= misses / 2
    if uses is not None and uses < 1 and not is_outdated:
        yield _reason(
            "single-use",
            gettext("entries are read %(uses).1f times on average") % {"uses": uses},
            gettext("Cache a less specific query, or leave this one out with .uncached()."),
        )
    if rate < FINE and ratio <= 1:
        if is_outdated:
            yield _reason(
                "invalidated",
                gettext("%(share)d %% of the misses follow an invalidation")
                % {"share": 100 * after_writes / misses},
                _narrow_hint(numbers),
            )
        elif misses and uses is not None and uses >= 1:
            yield _reason(
                "expired",
                gettext("%(share)d %% of the misses follow an expiry, or are a first read")
                % {"share": 100 * (misses - after_writes) / misses},
                gettext("Choose a longer tier, or warm these queries: see ModelPolicy.warm()."),
            )
    size = numbers.mean_size
    if size is not None and size > LARGE_VALUE:
        yield _reason(
            "large",
            gettext("an entry holds %(size)d kB on average") % {"size": size / 1000},
            gettext("Read fewer rows or columns: slice the list, or use only() and values()."),
        )
    yield from _times(numbers, is_mendable=rate < FINE)
    for why, times in numbers.unstored_reasons.items():
        if why in {"too large", "unstorable"} and times > numbers.misses / 10:
            yield _reason(
                why.replace(" ", "-"),
                ngettext(
                    "%(times)d load could not be stored: %(why)s",
                    "%(times)d loads could not be stored: %(why)s",
                    times,
                )
                % {"times": times, "why": why},
                gettext("Read fewer rows or columns, or leave the query out with .uncached()."),
            )


def _times(numbers: Numbers, *, is_mendable: bool) -> Iterator[Reason]:
    """Whether the cache costs more time than it spares. Where more hits can be had, that is the
    first thing to do, and their reasons say how."""
    if min(numbers.load_calls, numbers.hit_calls) < MEASURED:
        return
    load, hit, net = numbers.mean_load, numbers.mean_hit, numbers.net_seconds
    if load is not None and hit is not None and load < hit:
        yield _reason(
            "cheap-loads",
            gettext("the database answers faster (%(load).2f ms) than the cache (%(hit).2f ms)")
            % {"load": load * 1000, "hit": hit * 1000},
            gettext('Don’t cache it: tier = "never"; an index serves it better.'),
        )
    elif net is not None and net < 0 and not is_mendable:
        yield _reason(
            "no-gain",
            gettext("misses cost more time than hits spare (%(net).2f s, estimated)")
            % {"net": net},
            gettext('Don’t cache it: tier = "never".'),
        )


def _narrow_hint(numbers: Numbers) -> str:
    if numbers.coarse > numbers.invalidations / 2:
        return gettext(
            "Most writes are coarse: the list of the calls that make them says what would let "
            "them invalidate row by row."
        )
    return gettext("Narrow the tags: add the fields your lists filter by to narrow_by.")


def _reason(code: str, seen: str, fix: str) -> Reason:
    return Reason(code=code, seen=seen, fix=fix)
