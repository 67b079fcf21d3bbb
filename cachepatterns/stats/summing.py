"""From the fields of many buckets to `Numbers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cachepatterns.core import outcome
from cachepatterns.stats import fields
from cachepatterns.stats.callsites import CallSite
from cachepatterns.stats.histogram import MICROSECONDS
from cachepatterns.stats.numbers import Latency, Numbers

_LOADED = (outcome.MISS, outcome.ERROR)


class Amount(NamedTuple):
    """One field of a bucket, taken apart."""

    kind: str
    label: str
    pattern: str
    last: str
    amount: int


def amounts(bucket: Mapping[str, int]) -> Iterator[Amount]:
    """The fields of a bucket; what this version does not know is left out."""
    for name, amount in bucket.items():
        try:
            yield Amount(*fields.parts(name), amount)
        except ValueError:
            continue


def numbers(found: Iterable[Amount]) -> Numbers:
    """The sums of `found`, whichever labels and patterns they are of."""
    sums: Counter[tuple[str, str]] = Counter()
    for kind, _label, _pattern, last, amount in found:
        sums[kind, last] += amount

    def by(kind: str) -> dict[str, int]:
        return {last: n for (k, last), n in sums.most_common() if k == kind}

    def total(kind: str, *lasts: str) -> int:
        return sum(sums[kind, last] for last in lasts)

    def calls(*outcomes: str) -> int:
        return total(fields.READS, *outcomes) - total(fields.SURPLUS, *outcomes)

    def latency(kind: str) -> Latency:
        counts = {int(last): n for last, n in by(kind).items() if last.isdecimal()}
        return Latency(counts=counts)

    return Numbers(
        hits=total(fields.READS, *outcome.ANSWERED),
        near=sums[fields.READS, outcome.NEAR],
        negatives=sums[fields.READS, outcome.NEGATIVE],
        stale=sums[fields.READS, outcome.STALE],
        misses=sums[fields.READS, outcome.MISS],
        shared=sums[fields.READS, outcome.SHARED],
        outdated=sum(by(fields.OUTDATED).values()),
        bypasses=sums[fields.READS, outcome.BYPASS],
        failures=sums[fields.READS, outcome.ERROR],
        hit_calls=calls(*outcome.ANSWERED),
        shared_calls=calls(outcome.SHARED),
        load_calls=calls(*_LOADED),
        hit_seconds=total(fields.MICROSECONDS, *outcome.ANSWERED) / MICROSECONDS,
        miss_seconds=total(fields.MICROSECONDS, *_LOADED) / MICROSECONDS,
        load_seconds=total(fields.LOAD_MICROSECONDS, *_LOADED) / MICROSECONDS,
        stored_entries=sum(by(fields.STORED_ENTRIES).values()),
        stored_bytes=sum(by(fields.STORED_BYTES).values()),
        invalidations=sum(by(fields.INVALIDATIONS).values()),
        coarse=sum(by(fields.COARSE).values()),
        undelivered=sum(by(fields.FAILED).values()),
        tags=sum(by(fields.TAGS).values()),
        bypass_reasons=by(fields.BYPASSED),
        unstored_reasons=by(fields.UNSTORED),
        sources=by(fields.INVALIDATIONS),
        call_sites={_call_site(last): n for last, n in by(fields.CALL_SITES).items()},
        done=by(fields.DONE),
        hit_latency=latency(fields.HIT_LATENCY),
        load_latency=latency(fields.LOAD_LATENCY),
    )


def _call_site(written: str) -> CallSite:
    source, _bar, site = written.partition("|")
    return CallSite(source, site)
