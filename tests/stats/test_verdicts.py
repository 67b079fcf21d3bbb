"""The advisor says what the numbers say, and nothing without enough of them."""

import pytest

from cachepatterns.stats.numbers import Numbers
from cachepatterns.stats.verdicts import Level, judge


def numbers(rate: float, reads: int = 1000, **more) -> Numbers:
    hits = round(reads * rate)
    defaults = {
        "hit_calls": hits, "hit_seconds": hits * 0.0004,
        "load_calls": reads - hits, "load_seconds": (reads - hits) * 0.004,
        "stored_entries": reads - hits, "stored_bytes": (reads - hits) * 500,
    }  # fmt: skip
    return Numbers(hits=hits, misses=reads - hits, **{**defaults, **more})


def codes(found: Numbers) -> set[str]:
    return {reason.code for reason in judge(found).reasons}


@pytest.mark.parametrize(
    ("rate", "level"),
    [
        (0.95, Level.HEALTHY),
        (0.90, Level.HEALTHY),
        (0.85, Level.FINE),
        (0.80, Level.FINE),
        (0.60, Level.INVESTIGATE),
        (0.49, Level.HURTING),
    ],
)
def test_the_hit_rate_gives_the_level(rate, level):
    assert judge(numbers(rate)).level is level


def test_fewer_than_200_reads_are_not_judged():
    assert judge(numbers(0.1, reads=199)).level is Level.UNKNOWN
    assert judge(numbers(0.1, reads=200)).level is Level.HURTING


def test_a_healthy_pattern_has_no_reasons():
    assert codes(numbers(0.95)) == set()


def test_more_writes_than_reads():
    assert "more-writes" in codes(numbers(0.3, invalidations=1001))


def test_entries_that_are_hardly_read_again():
    assert "single-use" in codes(numbers(0.4))


def test_misses_after_invalidations():
    assert "invalidated" in codes(numbers(0.7, outdated=200))


def test_misses_while_a_writer_is_registered_count_as_such():
    assert "invalidated" in codes(numbers(0.7, unstored_reasons={"writer registered": 200}))


def test_many_writes_that_outdate_nothing_are_not_blamed():
    assert "invalidated" not in codes(numbers(0.7, invalidations=500, outdated=10))


def test_misses_after_coarse_writes_are_blamed_on_them():
    (reason,) = judge(numbers(0.7, outdated=200, invalidations=200, coarse=190)).reasons
    assert "Most writes are coarse" in reason.fix


def test_misses_after_expiry():
    assert "expired" in codes(numbers(0.7))


def test_large_values():
    assert "large" in codes(numbers(0.95, stored_bytes=50 * 200_000))


def test_loads_that_are_cheaper_than_hits():
    assert "cheap-loads" in codes(numbers(0.95, load_seconds=50 * 0.0001))


def test_misses_that_cost_more_than_hits_spare():
    """Loads of 4 ms and hits of 3.9 ms; each miss costs 2 ms beside its load."""
    found = numbers(0.95, hit_seconds=950 * 0.0039, miss_seconds=50 * 0.006)
    assert "no-gain" in codes(found)
    assert "no-gain" not in codes(numbers(0.95, miss_seconds=50 * 0.006))


def test_a_handful_of_loads_tells_no_times():
    assert codes(numbers(0.995, load_seconds=5 * 0.0001)) == set()


def test_results_that_can_not_be_stored():
    assert "too-large" in codes(numbers(0.2, unstored_reasons={"too large": 700}))
