"""Log buckets: bounded, additive, and right to about a tenth."""

import random

import pytest

from cachepatterns.stats.histogram import LAST, bounds, bucket_of, quantile


@pytest.mark.parametrize("microseconds", [0, 1, 3, 4, 7, 8, 9, 100, 333, 10_000, 1_700_000])
def test_a_duration_lies_within_the_bounds_of_its_bucket(microseconds):
    low, high = bounds(bucket_of((microseconds + 0.5) / 1e6))
    assert low <= (microseconds + 0.5) / 1e6 < high


def test_buckets_leave_no_gap_and_are_bounded():
    for bucket in range(LAST):
        assert bounds(bucket)[1] == bounds(bucket + 1)[0]
    assert bucket_of(1e9) == LAST
    assert bucket_of(-1) == 0


def test_quantiles_are_right_to_a_tenth():
    rng = random.Random(7)
    values = sorted(rng.lognormvariate(-7, 1) for _ in range(20_000))
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    for share in (0.5, 0.95, 0.99):
        exact = values[int(share * len(values)) - 1]
        assert quantile(counts, share) == pytest.approx(exact, rel=0.1)


def test_without_values_there_is_no_quantile():
    assert quantile({}, 0.95) is None
