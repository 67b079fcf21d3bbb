"""With the outbox on, a write and the record of what it invalidates are one transaction."""

import threading

import pytest
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction

from cachepatterns import announces, invalidate
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import mark_key
from cachepatterns.exceptions import OutboxMissing
from cachepatterns.models import InvalidationEvent
from cachepatterns.write import outbox as writing
from tests.app.models import Category, Item, Note
from tests.events import seen
from tests.outbox.conftest import events, forget_events, tags
from tests.policies import policy_of


def is_marked(event):
    return current_store().backend.get_many([mark_key(config().PREFIX, event.token)]) == [b"1"]


def run(sql, *params, using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)


WRITES = {
    "save": lambda item: Item(pk=item.pk, name="n", sku="s0", category_id=1, price=9).save(
        update_fields=["price"]
    ),
    "update": lambda item: Item.objects.filter(pk=item.pk).update(price=9),
    "bulk_update": lambda item: Item.objects.bulk_update([item], ["price"]),
    "create": lambda item: Item.objects.create(
        name="n", sku="new", category_id=item.category_id, price=1
    ),
    "raw SQL": lambda item: run("UPDATE app_item SET price = 9 WHERE id = %s", item.pk),
    "plain manager": lambda item: Note.plain.create(item=item, text=""),
    "delete": lambda item: item.delete(),
    "invalidate": lambda item: invalidate(item),
}


@pytest.mark.parametrize("how", WRITES)
def test_each_write_in_autocommit_is_recorded_and_marked_when_it_is_bumped(goods, how):
    with seen() as found:
        WRITES[how](goods[1][0])
    recorded = events()
    assert recorded
    bumped = {tag for event in found.invalidations for tag in event.tags}
    assert {tag for event in recorded for tag in event.payload["tags"]} <= bumped
    assert all(is_marked(event) and event.delivered_at is None for event in recorded)


def test_what_rolls_back_is_not_recorded_and_savepoints_forget_nothing(goods):
    item = goods[1][0]
    with transaction.atomic():
        item.save()
        transaction.set_rollback(True)
    assert events() == []
    with transaction.atomic():
        with transaction.atomic():
            item.save()
            transaction.set_rollback(True)
        item.save()  # recorded once already, but that was taken back
    assert f"app.item:pk={item.pk}" in tags()


def test_a_savepoint_taken_back_by_hand_forgets_nothing_either(goods):
    item = goods[1][0]
    with transaction.atomic():
        run("SAVEPOINT a")
        item.save()
        run("ROLLBACK TO a")
        item.save()
    assert f"app.item:pk={item.pk}" in tags()


def test_one_transaction_records_a_tag_once(goods):
    item = goods[1][0]
    with transaction.atomic():
        item.save()
        item.save()
        run("UPDATE app_item SET price = 2")  # coarse: covers all that follows
        item.save()
    assert len(events()) == 2
    assert len({event.token for event in events()}) == 1


def test_the_users_own_error_is_not_replaced(goods):
    with pytest.raises(IntegrityError), transaction.atomic():
        run("UPDATE app_item SET sku = 's1'")
    with pytest.raises(IntegrityError):
        run("UPDATE app_item SET sku = 's1'")
    with pytest.raises(ProgrammingError), transaction.atomic():
        run("UPDATE app_item SET nothing = 's1'")
    assert events() == []


def test_an_eventual_policys_writes_are_recorded_and_marked_too(goods):
    with policy_of(Item, consistency="eventual"):
        WRITES["update"](goods[1][0])
    (event,) = events()
    assert is_marked(event)


def test_who_commits_by_hand_leaves_it_to_the_relays_at_once(goods):
    connection.set_autocommit(False)
    try:
        WRITES["raw SQL"](goods[1][0])
        connection.commit()
    finally:
        connection.set_autocommit(True)
    run("BEGIN")
    WRITES["raw SQL"](goods[1][0])
    run("COMMIT")
    assert [event.token for event in events()] == ["", ""]


def test_what_may_not_run_in_a_transaction_runs_in_none(goods):
    run("CREATE INDEX CONCURRENTLY temporary ON app_item (price)")
    run("DROP INDEX CONCURRENTLY temporary")
    run("DO $$ BEGIN UPDATE app_item SET price = 3; COMMIT; END $$")
    with announces(Item), connection.cursor() as cursor:
        cursor.connection.execute("BEGIN")
        cursor.connection.execute("UPDATE app_item SET price = 4")
        cursor.connection.execute("COMMIT")
    assert len(events()) == 3
    assert all(map(is_marked, events()))


def test_without_the_outbox_no_statement_is_added(goods, settings, django_assert_num_queries):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}
    with django_assert_num_queries(1):
        WRITES["update"](goods[1][0])
    assert events() == []


def test_with_it_a_write_in_a_transaction_costs_one_insert(goods, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(2):
        WRITES["update"](goods[1][0])


def test_a_database_of_which_nothing_is_cached_has_no_outbox(outbox, django_db_blocker):
    assert not writing.is_on(connections["sqlite"])
    assert writing.is_on(connection)


# -- the table is missing -------------------------------------------------------------------


@pytest.fixture
def no_table(goods):
    table = InvalidationEvent._meta.db_table
    run(f"ALTER TABLE {table} RENAME TO elsewhere")
    yield
    run(f"ALTER TABLE elsewhere RENAME TO {table}")


def test_without_its_table_a_write_says_what_to_do_and_is_not_made(goods, no_table, monkeypatch):
    monkeypatch.setattr(writing, "_migrating", set())
    with pytest.raises(OutboxMissing, match=r"manage.py migrate cachepatterns --database=default"):
        WRITES["update"](goods[1][0])
    assert Item.objects.uncached().get(pk=goods[1][0].pk).price == 0


def test_other_apps_migrations_may_write_before_the_table_is_made(goods, no_table, monkeypatch):
    monkeypatch.setattr(writing, "_migrating", {"default"})
    WRITES["update"](goods[1][0])
    assert Item.objects.uncached().get(pk=goods[1][0].pk).price == 9


# -- SQLite ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_sqlite_commits_a_statement_and_its_event_together(on_sqlite):
    forget_events("sqlite")
    run("INSERT INTO app_category (name, slug) VALUES ('a', 'a')", using="sqlite")
    assert len(events("sqlite")) == 1
    with connections["sqlite"].cursor() as cursor:
        cursor.execute("UPDATE app_category SET name = 'b' RETURNING id")
        assert seen_elsewhere() == 1  # not committed while rows wait: neither is its event
        cursor.fetchall()
    assert seen_elsewhere() == 2
    assert [bool(event.token) for event in events("sqlite")] == [True, False]
    Category.objects.using("sqlite").create(name="c", slug="c")
    with pytest.raises(IntegrityError):
        Category.objects.using("sqlite").create(name="c", slug="c")
    assert len(events("sqlite")) == 3


def seen_elsewhere() -> int:
    """How many events another connection sees."""
    found = []

    def look():
        found.append(len(events("sqlite")))
        connections["sqlite"].close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]
