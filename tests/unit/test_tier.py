"""TTLs never exceed what the tier says, and do not end all at once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepatterns.core.tier import BUILT_IN, NEVER, Tier, jittered


@given(
    st.floats(1, 1e7), st.floats(0, 1), st.floats(0, 1, exclude_max=True, allow_subnormal=False)
)
def test_a_ttl_is_shortened_by_at_most_the_jitter_and_never_lengthened(ttl, jitter, chance):
    drawn = jittered(ttl, jitter, lambda: chance)
    assert drawn <= ttl
    assert drawn >= max(1.0, ttl * (1 - jitter) * 0.999999)


def test_a_ttl_without_jitter_is_the_tiers():
    assert jittered(45, 0.0, random.random) == 45


def test_even_the_shortest_entry_lives_a_second():
    assert jittered(0.01, 0.5, lambda: 0.99) == 1.0


def test_many_entries_stored_at_once_end_at_many_times():
    draw = random.Random(7).random
    ends = {round(jittered(900, 0.1, draw)) for _ in range(1000)}
    assert len(ends) > 60
    assert min(ends) >= 810


@pytest.mark.parametrize(
    ("name", "ttl"), [("static", 86400), ("semi_static", 900), ("volatile", 45), ("never", None)]
)
def test_the_built_in_tiers_live_as_long_as_documented(name, ttl):
    assert BUILT_IN[name].ttl == ttl
    assert BUILT_IN[name].caches is (ttl is not None)
    assert BUILT_IN[name].name == name


def test_never_means_never_and_a_tier_is_not_changed_by_accident():
    assert not NEVER.caches
    with pytest.raises(AttributeError):
        Tier(name="mine", ttl=5).ttl = 6
