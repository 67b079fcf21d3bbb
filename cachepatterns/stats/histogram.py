"""Latencies in log buckets: bounded, additive across processes, exact to about a tenth.

Each power of two of microseconds is cut into four equal parts, the scheme of
HdrHistogram (https://hdrhistogram.org) with two significant bits. A bucket's number is
all that is stored; buckets of different processes are simply added.
"""

from __future__ import annotations

from collections.abc import Mapping

MICROSECONDS = 1_000_000
LAST = 119
"""The bucket of everything above about half an hour."""


def bucket_of(seconds: float) -> int:
    """The number of the bucket that holds a duration of `seconds`."""
    microseconds = int(seconds * MICROSECONDS)
    if microseconds < 4:
        return max(microseconds, 0)
    octave = microseconds.bit_length() - 3
    return min(LAST, (octave << 2) + (microseconds >> octave))


def bounds(bucket: int) -> tuple[float, float]:
    """The durations in seconds between which the values of `bucket` lie."""
    if bucket < 8:
        return bucket / MICROSECONDS, (bucket + 1) / MICROSECONDS
    octave = (bucket >> 2) - 1
    low = (4 + (bucket & 3)) << octave
    return low / MICROSECONDS, (low + (1 << octave)) / MICROSECONDS


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds that `share` of the values do not exceed; `None` without any.

    Values are taken to lie evenly within their bucket.
    """
    total = sum(counts.values())
    if not total:
        return None
    rank, below = share * total, 0
    for bucket in sorted(counts):
        inside = counts[bucket]
        if below + inside >= rank:
            low, high = bounds(bucket)
            return low + (high - low) * max(0.0, rank - below) / inside
        below += inside
    return bounds(max(counts))[1]
