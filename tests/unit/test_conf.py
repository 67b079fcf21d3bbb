"""Settings are read live, defaulted in one place, and a typo in them breaks no import."""

from dataclasses import FrozenInstanceError

import pytest

from cachepatterns.conf import KEYS, Config, config, user_settings
from cachepatterns.registry import site, tiers
from tests.app.models import Item


def test_without_the_setting_the_defaults_hold(settings):
    settings.CACHEPATTERNS = {}
    assert config() == Config()
    del settings.CACHEPATTERNS
    assert user_settings() == {}


def test_overridden_settings_hold_at_once_and_end_with_the_override(settings):
    before = config().PREFIX
    with_other = {"PREFIX": "other", "JITTER": 0.5}
    settings.CACHEPATTERNS = with_other
    assert (config().PREFIX, config().JITTER) == ("other", 0.5)
    settings.CACHEPATTERNS = {"PREFIX": before}
    assert (before, Config().JITTER) == (config().PREFIX, config().JITTER)


def test_asking_twice_gives_the_same_object_which_nobody_can_change():
    assert config() is config()
    with pytest.raises(FrozenInstanceError):
        config().PREFIX = "mine"


def test_unknown_keys_and_no_dict_at_all_are_left_to_the_checks(settings):
    settings.CACHEPATTERNS = {"PREFIXX": "typo", "JITTER": 0.2}
    assert config() == Config(JITTER=0.2)
    settings.CACHEPATTERNS = None
    assert config() == Config()


@pytest.mark.parametrize(
    ("variable", "expected"), [("0.25", 0.25), ("0", 0.0), ("", 0.5), ("often", 0.5)]
)
def test_one_process_is_told_by_its_environment_to_compare(
    settings, monkeypatch, variable, expected
):
    monkeypatch.setenv("CACHEPATTERNS_SHADOW", variable)
    settings.CACHEPATTERNS = {"SHADOW": 0.5}
    assert expected == config().SHADOW


def test_every_setting_is_in_capitals_and_has_a_default():
    assert {key.isupper() for key in KEYS} == {True}
    assert {key: getattr(Config(), key) for key in KEYS}.keys() == KEYS


def test_tiers_of_the_settings_stand_beside_the_built_in_ones_and_override_them(settings):
    settings.SESSION_COOKIE_AGE = 77
    settings.CACHEPATTERNS = {
        "JITTER": 0.3,
        "TIERS": {"volatile": {"ttl": 5}, "mine": {"ttl": 7, "jitter": 0.0}},
    }
    found = tiers()
    assert (found["volatile"].ttl, found["volatile"].jitter) == (5, 0.3)
    assert (found["mine"].ttl, found["mine"].jitter) == (7, 0.0)
    assert (found["session"].ttl, found["session"].jitter) == (77, 0.0)
    assert found["static"].ttl == 86400


def test_a_models_policy_follows_the_settings(settings):
    assert site.policy_for(Item).tier.ttl == 900
    settings.CACHEPATTERNS = {"TIERS": {"semi_static": {"ttl": 11}}}
    assert site.policy_for(Item).tier.ttl == 11
    settings.CACHEPATTERNS = {"MODELS": {"app.Item": {"tier": "never"}}}
    assert not site.policy_for(Item).tier.caches


def test_a_tier_that_does_not_exist_caches_nothing(settings):
    settings.CACHEPATTERNS = {"MODELS": {"app.Item": {"tier": "eternal"}}}
    assert not site.policy_for(Item).tier.caches
