"""The checks of soft ends and of who refreshes, by id."""

import django
import pytest

from tests.checks.test_checks import found


@pytest.mark.parametrize(
    "options",
    [
        {"stale_for": "a minute"},
        {"early_refresh": -1},
        {"stale_if_error": True},
        {"max_age": "900"},
    ],
)
def test_e020_a_soft_option_that_is_no_number(configure, options):
    configure(TIERS={"semi_static": options})
    (message,) = found("E020")
    assert next(iter(options)) in message.msg


@pytest.mark.parametrize("max_age", [900, 60])
def test_e021_a_greatest_age_below_the_ttl(configure, max_age):
    configure(TIERS={"semi_static": {"max_age": max_age}})
    assert "hits can give no entry a longer life" in found("E021")[0].msg


def test_e021_also_by_a_policy_s_own_ttl(configure, policy):
    configure(TIERS={"semi_static": {"max_age": 1200}})
    assert found("E021") == []
    policy(ttl=3600)
    assert "max_age" in found("E021")[0].hint


def test_e022_stale_if_error_that_ends_before_stale_for(configure):
    configure(TIERS={"volatile": {"stale_for": 60, "stale_if_error": 30}})
    assert "let stale_if_error be greater" in found("E022")[0].hint


def test_e023_serve_invalidated_needs_an_eventual_policy(policy):
    policy(serve_invalidated=30.0)
    assert 'consistency = "eventual"' in found("E023")[0].hint
    policy(consistency="eventual")
    assert found("E023") == []
    policy(serve_invalidated=-1)
    assert "positive" in found("E023")[0].msg


@pytest.mark.parametrize("refresh", ["threads", "no.such.function", "django.VERSION"])
def test_e024_nobody_who_refreshes(configure, refresh):
    configure(REFRESH=refresh)
    assert "refresh_entry" in found("E024")[0].hint


def test_e024_tasks_need_django_6(configure):
    configure(REFRESH="tasks")
    assert len(found("E024")) == (django.VERSION < (6, 0))


def test_what_is_right_is_let_pass(configure):
    configure(
        TIERS={"own": {"ttl": 60, "stale_for": 30, "stale_if_error": 600, "max_age": 3600}},
        REFRESH="cachepatterns.read.handing.hand_over",
    )
    assert not {f"cachepatterns.E02{n}" for n in range(5)} & {*found()}
