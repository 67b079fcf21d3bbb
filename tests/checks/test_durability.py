"""What a crash or an unreachable Redis may leave stale is said."""

import pytest
from django.core.checks import run_checks


def found(check_id, *, deploy=False):
    messages = run_checks(tags=["cachepatterns"], include_deployment_checks=deploy)
    return [m for m in messages if m.id == f"cachepatterns.{check_id}"]


@pytest.mark.parametrize(
    ("consistency", "outbox", "warned"),
    [("eventual", False, True), ("eventual", True, False), ("strict", False, False)],
)
def test_w010_an_eventual_policy_without_outbox(policy, configure, consistency, outbox, warned):
    policy(consistency=consistency)
    configure(OUTBOX=outbox)
    messages = found("W010")
    assert bool(messages) is warned
    if warned:
        assert "OUTBOX" in messages[0].hint
        assert "ItemPolicy" in messages[0].msg


@pytest.mark.parametrize(
    ("settings_", "warned"),
    [({}, True), ({"OUTBOX": True}, False), ({"ON_REDIS_ERROR": "refuse"}, False)],
)
@pytest.mark.django_db
def test_w011_strict_writes_that_proceed_without_redis_and_without_outbox(
    configure, settings_, warned
):
    configure(**settings_)
    messages = found("W011", deploy=True)
    assert bool(messages) is warned
    assert found("W011") == []  # the defaults do not disturb development
    assert all("ON_REDIS_ERROR" in m.hint and "OUTBOX" in m.hint for m in messages)
