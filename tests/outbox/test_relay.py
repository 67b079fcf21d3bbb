"""What is recorded is bumped, at least once and by whomever, and nothing is forgotten."""

import threading

import pytest
from django.db import connection, connections, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import replayed_key
from cachepatterns.exceptions import BackendError
from cachepatterns.models import InvalidationEvent
from cachepatterns.transactions import database_id
from cachepatterns.write import delivery
from cachepatterns.write import events as outbox_events
from cachepatterns.write import relay as relaying_module
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of, seen
from tests.outbox.conftest import (
    events,
    forget_events,
    relaying,
    told_by_trigger,
    waiting,
)


def price(pk):
    return Item.objects.get(pk=pk).price


def listed(category):
    return [item.price for item in Item.objects.filter(category=category)]


def unseen(sql, *params):
    """A statement that no layer of ours sees."""
    connection.ensure_connection()
    connection.connection.execute(sql, params)


def row(item, **columns):
    return {
        "id": item.pk,
        "sku": item.sku,
        "category_id": item.category_id,
        "second_id": None,
        "stock": 0,
        "active": True,
        **columns,
    }


# -- what triggers tell ---------------------------------------------------------------------


def test_rows_told_by_a_trigger_are_bumped_and_others_stay(goods, relay):
    category, (one, two) = goods
    relay.round()
    for _ in range(2):
        price(one.pk), price(two.pk), listed(category)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", one.pk)
    assert price(one.pk) == 0  # nobody knows
    told_by_trigger(rows=[{"old": row(one), "new": row(one)}])
    with seen() as found:
        done = relay.round()
    assert (done.backlog, done.delivered, done.leased) == (1, 1, True)
    assert price(one.pk) == 9
    assert listed(category)[0] == 9
    assert outcome_of(lambda: price(two.pk)) == "hit"
    (event,) = found.invalidations
    assert (event.source, event.object_pk, event.labels) == (
        "database update",
        str(one.pk),
        ("app.item",),
    )


def test_both_sides_of_a_move_are_bumped(goods, relay):
    category, (one, _) = goods
    other = Category.objects.create(name="b", slug="b")
    relay.round()
    for _ in range(2):
        listed(category), listed(other)
    unseen("UPDATE app_item SET category_id = %s WHERE id = %s", other.pk, one.pk)
    # As two rows: a trigger need not know which old one has become which new one.
    moved = row(one, category_id=other.pk)
    told_by_trigger(rows=[{"old": row(one), "new": None}, {"old": None, "new": moved}])
    relay.round()
    assert (len(listed(category)), len(listed(other))) == (1, 1)


COARSE = {
    "rows that nobody can tell": {"table": "public.app_item", "op": "TRUNCATE", "rows": None},
    "a column that is not told": {
        "table": '"app_item"',
        "op": "UPDATE",
        "rows": [{"old": {"id": 1}, "new": {"id": 1}}],
    },
    "a value of another kind": {
        "table": "public.app_item",
        "op": "INSERT",
        "rows": [
            {
                "old": None,
                "new": {"id": "x", "sku": 7, "category_id": [], "second_id": 0, "stock": 0}
                | {"active": 0},
            }
        ],
    },
    "no payload of ours": {"what": "is this?"},
    "not even an object": [1, 2],
}


@pytest.mark.parametrize("what", COARSE)
def test_what_is_not_understood_row_by_row_bumps_the_model(goods, relay, what):
    category, (one, _) = goods
    relay.round()
    for _ in range(2):
        price(one.pk), listed(category)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", one.pk)
    InvalidationEvent.objects.create(payload=COARSE[what])
    assert relay.round().delivered == 1
    assert (price(one.pk), listed(category)[0]) == (9, 9)


def test_a_table_that_is_cached_no_more_is_nobodys_business(goods, relay):
    told_by_trigger("public.gone", None)
    with seen() as found:
        assert relay.round().delivered == 1
    assert found.invalidations == []


def test_rules_see_the_rows_that_a_trigger_told(goods, relay):
    category, (one, _) = goods
    full = {
        **row(one),
        "name": "n",
        "price": 1.25,
        "rating": None,
        "made": "2026-01-02T03:04:05+00:00",
        "data": {"a": 1},
    }
    other = category.pk + 1
    told_by_trigger(rows=[{"old": full, "new": {**full, "category_id": other}}])
    with seen() as found:
        relay.round()
    named = [tag for event in found.invalidations for tag in event.tags if tag[0] == "#"]
    assert named == sorted([f"#catalog:{category.pk}", f"#catalog:{other}"])


# -- what Django tells ----------------------------------------------------------------------


def test_what_a_writer_has_bumped_is_not_bumped_again(goods, relay):
    pk = goods[1][0].pk
    relay.round()
    Item.objects.filter(pk=pk).update(price=9)
    price(pk)
    assert waiting() == 1
    with seen() as found:
        assert relay.round().delivered == 1
    assert found.invalidations == []
    assert waiting() == 0
    assert outcome_of(lambda: price(pk)) == "hit"


def test_what_a_writer_has_not_bumped_is(goods, relay, monkeypatch):
    """Its release is lost: an eventual writer that died, as far as anybody can see."""
    category, (one, _) = goods
    relay.round()
    for _ in range(2):
        price(one.pk), listed(category)
    backend = current_store().backend
    with monkeypatch.context() as patch:
        patch.setattr(backend, "release", lambda *args, **kwargs: None)
        patch.setattr(backend, "fence", lambda *args, **kwargs: b"")
        patch.setattr(backend, "fence_ahead", lambda *args, **kwargs: lambda: b"")
        Item.objects.filter(pk=one.pk).update(price=9)
    assert price(one.pk) == 0
    relay.round()
    assert (price(one.pk), listed(category)[0]) == (9, 9)


def test_an_event_committed_late_is_delivered_although_its_id_is_lower(goods, relay):
    first = told_by_trigger()

    def later():
        with transaction.atomic():
            told_by_trigger()
            inserted.set()
            assert go_on.wait(20)
        connection.close()

    inserted, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=later)
    thread.start()
    assert inserted.wait(20)
    last = told_by_trigger()
    assert relay.round().delivered == 2
    go_on.set()
    thread.join()
    assert waiting() == 1
    late = InvalidationEvent.objects.get(delivered_at=None)
    assert first.pk < late.pk < last.pk
    assert relay.round().delivered == 1


def test_redis_away_keeps_every_event(goods, relay, settings, tmp_path):
    told_by_trigger()
    caches = settings.CACHES
    nowhere = {**caches["default"], "LOCATION": f"unix://{tmp_path}/nobody"}
    settings.CACHES = {**caches, "default": nowhere}
    with pytest.raises(BackendError):
        relay.round()
    assert waiting() == 1
    settings.CACHES = caches
    assert relay.round().delivered == 1


# -- several at once ------------------------------------------------------------------------


def test_two_relays_deliver_everything_between_them(goods, monkeypatch):
    items = goods[1]
    monkeypatch.setattr(outbox_events, "BATCH", 7)
    delivered = []
    told = outbox_events.tell

    def note(events, *args, **more):
        delivered.extend(events)
        told(events, *args, **more)

    monkeypatch.setattr(outbox_events, "tell", note)
    with relaying(2):
        for number in range(120):
            item = items[number % 2]
            told_by_trigger(rows=[{"old": None, "new": row(item, stock=number)}])
        eventually(lambda: waiting() == 0)
    told_stocks = {tag for event in delivered for tag in event.tags if ":stock=" in tag}
    assert len(told_stocks) == 120


def test_a_relay_that_holds_events_holds_up_no_other_but_the_lease(goods, relay):
    """`SKIP LOCKED` passes them by; the lease waits, since nobody knows that they are bumped."""
    held = told_by_trigger()
    locked, go_on = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            InvalidationEvent.objects.select_for_update().get(pk=held.pk)
            locked.set()
            assert go_on.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert locked.wait(20)
        told_by_trigger()
        done = relay.round()
        assert (done.backlog, done.delivered, done.leased) == (2, 1, False)
    finally:
        go_on.set()
        thread.join()
    done = relay.round()
    assert (done.backlog, done.delivered, done.leased) == (1, 1, True)


def test_more_than_a_round_looks_at_renews_no_lease(goods, relay, monkeypatch):
    monkeypatch.setattr(outbox_events, "SNAPSHOT", 3)
    for _ in range(5):
        told_by_trigger()
    done = relay.round()
    assert (done.delivered, done.leased) == (5, False)
    assert relay.round().leased


# -- keeping and replaying ------------------------------------------------------------------


def test_delivered_events_are_deleted_when_they_are_old_and_others_never(goods, relay, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX_RETENTION_SECONDS": 100}
    a_minute, an_hour = "interval '1 minute'", "interval '1 hour'"
    old, young, never = (told_by_trigger() for _ in range(3))
    for event, age in ((old, an_hour), (young, a_minute)):
        unseen(
            "UPDATE cachepatterns_invalidationevent "
            f"SET delivered_at = now() - {age}, created_at = now() - {an_hour} WHERE id = %s",
            event.pk,
        )
    assert delivery.Delivery("default").forget_old() == 1
    assert [event.pk for event in events()] == [young.pk, never.pk]


def test_new_events_do_not_wait_until_all_old_ones_are_deleted(goods, settings, monkeypatch):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX_RETENTION_SECONDS": 100}
    monkeypatch.setattr(outbox_events, "BATCH", 2)
    monkeypatch.setattr(relaying_module, "TIDY_SECONDS", 0.05)
    for _ in range(30):
        told_by_trigger()
    unseen("UPDATE cachepatterns_invalidationevent SET delivered_at = now() - interval '1 hour'")
    young = told_by_trigger()
    with relaying():
        eventually(lambda: [event.pk for event in events()] == [young.pk])
        eventually(lambda: waiting() == 0)


def test_on_another_incarnation_what_is_kept_is_bumped_again(goods, relay):
    """As after a failover that lost the bump, but neither the mark nor the entry."""
    pk = goods[1][0].pk
    relay.round()
    Item.objects.filter(pk=pk).update(price=9)
    relay.round()
    assert waiting() == 0
    price(pk), price(pk)
    unseen("UPDATE app_item SET price = 10 WHERE id = %s", pk)
    relay.round()
    assert price(pk) == 9
    key = replayed_key(config().PREFIX, database_id(connection))
    current_store().backend.store([(key, b"another", 60)], [], 60)
    assert relay.round().leased
    assert price(pk) == 10
    assert outcome_of(lambda: price(pk)) == "hit"
    relay.round()
    assert outcome_of(lambda: price(pk)) == "hit"  # once is enough


# -- SQLite ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_on_sqlite_a_relay_polls(on_sqlite):
    forget_events("sqlite")
    category = Category.objects.using("sqlite").create(name="a", slug="a")
    delivery.Delivery("sqlite").round()

    def name():
        return Category.objects.using("sqlite").get(pk=category.pk).name

    name()
    assert outcome_of(name) == "hit"
    connections["sqlite"].connection.execute("UPDATE app_category SET name = 'b'")
    rows = [{"old": None, "new": {"id": category.pk, "slug": "a", "parent_id": None}}]
    payload = {"table": "app_category", "op": "UPDATE", "rows": rows}
    InvalidationEvent.objects.using("sqlite").create(payload=payload)
    with relaying(alias="sqlite"):
        eventually(lambda: name() == "b")
        eventually(lambda: outcome_of(name) == "hit")
    assert [event.delivered_at is None for event in events("sqlite")] == [False, False]
