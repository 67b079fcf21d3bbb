"""What may be done with an entry near its end and after it: pure arithmetic."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepatterns.core.softness import Softness, softness_of
from cachepatterns.core.tier import BUILT_IN, Tier, strictest

SECONDS = st.floats(0, 1e5, allow_nan=False)


@pytest.mark.parametrize("tier", BUILT_IN.values(), ids=BUILT_IN)
def test_the_built_in_tiers_are_not_soft(tier):
    assert softness_of(tier) is None


def test_early_refresh_begins_with_luck_and_never_without():
    soft = Softness(early_refresh=1.0)
    assert not soft.is_due_early(0.1, 1.0, lambda: 0.0)
    assert soft.is_due_early(0.1, 1.0, lambda: 0.5)
    assert soft.is_due_early(1.0, 1.0, lambda: 1 - 1 / math.e)
    assert not soft.is_due_early(1.0, 0.0, lambda: 0.999)  # what takes no time needs none


def test_one_reader_in_a_thousand_begins_seven_loads_before_the_end():
    luck, soft = random.Random(7).random, Softness(early_refresh=1.0)
    early = sum(soft.is_due_early(6.9, 1.0, luck) for _ in range(100_000))
    assert 70 < early < 130
    assert 6.9 < soft.watched(900, 1.0) < 7.1


def test_a_greater_beta_begins_earlier():
    assert not Softness(early_refresh=1.0).is_due_early(2.0, 1.0, lambda: 0.7)
    assert Softness(early_refresh=2.0).is_due_early(2.0, 1.0, lambda: 0.7)


@given(age=SECONDS, left=SECONDS, ttl=SECONDS, most=SECONDS)
def test_a_prolonged_life_is_longer_and_ends_by_the_greatest_age(age, left, ttl, most):
    life = Softness(max_age=most).longer_life(age, left, ttl)
    if life:
        assert left + 1 <= life <= ttl
        assert age + life <= most + 1e-6


tiers = st.builds(
    Tier,
    name=st.just(""),
    ttl=st.floats(1, 1e5),
    stale_for=SECONDS,
    stale_if_error=SECONDS,
    max_age=st.none() | st.floats(1, 1e5),
    serves_invalidated=st.sampled_from([0.0, 1.0, 30.0]),
)


@given(st.lists(tiers, min_size=1, max_size=4))
def test_what_rests_on_several_models_is_no_older_than_each_allows(several):
    found = strictest(several)
    for tier in several:
        assert found.ttl <= tier.ttl
        assert found.ttl + found.stale_for <= tier.ttl + tier.stale_for + 1e-6
        assert found.ttl + found.stale_if_error <= tier.ttl + tier.stale_if_error + 1e-6
        assert found.serves_invalidated <= tier.serves_invalidated
        if found.max_age:
            assert found.max_age <= max(tier.ttl, tier.max_age or 0)
