"""Sites with prefixes of their own on one database share the outbox, but not its deliveries."""

import contextlib

import pytest
from django.db import connection, connections

from cachepatterns.conf import config
from cachepatterns.live.outbox import outbox_findings
from cachepatterns.models import InvalidationEvent
from cachepatterns.stats.outboxes import outboxes
from cachepatterns.triggers import install, remove
from cachepatterns.write.events import Events
from cachepatterns.write.relay import Relay
from tests.app.models import Category, Item
from tests.calm import nobody_writes
from tests.outbox.conftest import events, told_by_trigger, waiting
from tests.triggers.conftest import another_client


@pytest.fixture
def site_of(settings, outbox):
    """Be the site with this prefix for a block."""
    ours = settings.CACHEPATTERNS

    @contextlib.contextmanager
    def site_of(prefix):
        settings.CACHEPATTERNS = {**ours, "PREFIX": f"{ours['PREFIX']}-{prefix}"}
        nobody_writes()
        try:
            yield
        finally:
            settings.CACHEPATTERNS = ours

    return site_of


def round_of(alias="default"):
    with contextlib.closing(Relay(alias)) as relay:
        return relay.round()


def prefixes(alias="default"):
    return [event.payload.get("prefix", "").rpartition("-")[2] for event in events(alias)]


def unheard(sql):
    """Written past all our layers."""
    connection.ensure_connection()
    connection.connection.execute(sql)


def test_a_relay_of_one_site_delivers_nothing_of_the_others(goods, site_of):
    """The interleaving: a writer of b is cut off, a's relay takes its event, b's relay finds the
    outbox empty and renews the lease of entries that nobody has bumped."""
    _, (item, _) = goods
    with site_of("b"):
        round_of()
        for _ in range(2):
            Item.objects.get(pk=item.pk)
        unheard("UPDATE app_item SET price = 9")
        InvalidationEvent.objects.create(
            payload={
                "prefix": config().PREFIX,
                "table": "public.app_item",
                "op": "UPDATE",
                "rows": None,
            }
        )
    with site_of("a"):
        assert (round_of().delivered, waiting()) == (0, 1)
        assert outboxes()[0].backlog == 0
    with site_of("b"):
        assert outboxes()[0].backlog == 1
        done = round_of()
        assert (done.delivered, done.leased) == (1, True)
        assert Item.objects.get(pk=item.pk).price == 9


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_each_event_says_whose_it_is_on_sqlite_too(on_sqlite, site_of):
    for name in "ab":
        with site_of(name):
            Category.objects.using("sqlite").create(name=name, slug=name)
    assert prefixes("sqlite") == ["a", "b"]
    with site_of("a"):
        assert round_of("sqlite").delivered == 1
    assert [event.delivered_at is None for event in events("sqlite")] == [False, True]
    with site_of("b"):
        assert round_of("sqlite").delivered == 1


def test_an_event_of_nobodys_is_delivered_by_whoever_comes_first(goods, site_of):
    told_by_trigger()
    with site_of("a"):
        assert round_of().delivered == 1


def test_old_events_are_deleted_whoever_delivered_them(goods, site_of, settings):
    with site_of("b"):
        Item.objects.update(stock=1)
        round_of()
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE cachepatterns_invalidationevent SET delivered_at = now() - interval '9 hours'"
        )
    with site_of("a"):
        assert Events("default").forget_old() == 1
    assert events() == []


def test_what_nobody_delivers_is_found_by_the_doctor(goods, site_of):
    with site_of("gone"):
        Item.objects.update(stock=1)
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE cachepatterns_invalidationevent SET created_at = now() - interval '1 minute'"
        )
    with site_of("a"):
        texts = [f.text for f in outbox_findings() if f.state.value == "warning"]
        assert len(texts) == 1
        assert "1 events of sites with another PREFIX" in texts[0]
        assert "-gone'" in texts[0]
        assert any(f.text == "0 events wait" for f in outbox_findings())


def test_triggers_tell_the_site_that_installed_them(goods, site_of):
    try:
        with site_of("a"):
            install("default", ["app.Item"])
        InvalidationEvent.objects.all().delete()
        with another_client() as client:
            client.execute("UPDATE app_item SET price = 8")
        assert prefixes() == ["a"]
        with site_of("b"):
            assert round_of().delivered == 0
        with site_of("a"):
            assert round_of().delivered == 1
    finally:
        remove("default")
