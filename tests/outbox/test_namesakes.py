"""Two databases of one name share their tags and their lease: so both outboxes count."""

import contextlib

import pytest
from django.db import connections

from cachepatterns.registry import site
from cachepatterns.stats.outboxes import outboxes
from cachepatterns.write.relay import Relay
from tests.aliases import added, create_tables, led_elsewhere
from tests.app.models import Category, Item
from tests.calm import nobody_writes
from tests.events import outcome_of
from tests.outbox.conftest import events
from tests.outbox.test_lease import is_leased, take_lease_away


@pytest.fixture
def namesake(goods, settings, monkeypatch, django_db_blocker):
    """`default` and `namesake`: as shards of one name on two hosts. Each has items of its own."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 3600}
    elsewhere = {**connections["default"].settings_dict.get("OPTIONS", {})}
    elsewhere["options"] = "-c search_path=elsewhere"
    with django_db_blocker.unblock(), added("namesake", OPTIONS=elsewhere) as found:
        directly("default", "CREATE SCHEMA elsewhere")
        try:
            create_tables(found)
            for model in (Category, Item):
                policy = type(site.policy_for(model).policy)
                monkeypatch.setattr(policy, "databases", ("default", "namesake"))
            site.forget()
            nobody_writes()
            take_lease_away()
            Category.objects.using("namesake").create(pk=1, name="there", slug="there")
            yield
        finally:
            found.close()
            directly("default", "DROP SCHEMA elsewhere CASCADE")
            monkeypatch.undo()
            site.forget()


def directly(using, sql):
    """By the driver alone: no layer of ours sees it."""
    connections[using].ensure_connection()
    connections[using].connection.execute(sql)


def name():
    return Category.objects.using("namesake").get(pk=1).name


def unheard(sql):
    """Written by a process that is cut off from Redis: only the outbox knows."""
    directly("namesake", sql)
    directly(
        "namesake",
        "INSERT INTO cachepatterns_invalidationevent (payload) VALUES "
        """('{"table": "app_category", "op": "UPDATE", "rows": null}')""",
    )


def test_a_relay_of_one_vouches_for_none_while_the_other_holds_events(namesake):
    """The interleaving: a writer that is cut off commits in the one, the relay finds the outbox
    of the other empty, and renews the lease that both are served under."""
    with contextlib.closing(Relay("default")) as relay:
        assert relay.round().leased
        name()
        assert (name(), outcome_of(name)) == ("there", "hit")
        unheard("UPDATE app_category SET name = 'moved'")
        done = relay.round()
        assert (done.delivered, done.leased) == (1, True)
        assert name() == "moved"


def test_a_database_that_is_away_keeps_the_lease_from_its_namesakes(namesake):
    with contextlib.closing(Relay("default")) as relay:
        with led_elsewhere("namesake", PORT="1"):
            relay._once()
            assert not is_leased()
        relay._once()
        assert is_leased()


def test_both_are_replayed_and_shown(namesake):
    unheard("UPDATE app_category SET name = 'moved'")
    with contextlib.closing(Relay("default")) as relay:
        relay.round()
    assert all(event.delivered_at for event in events("namesake"))
    assert [(outbox.alias, outbox.leased) for outbox in outboxes()] == [
        ("default", True),
        ("namesake", True),
    ]
