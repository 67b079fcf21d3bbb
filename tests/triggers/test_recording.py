"""What triggers record: each row, before and after, of whatever wrote it."""

from contextlib import nullcontext

import pytest
from django.db import connection, transaction

from cachepatterns import triggers
from cachepatterns.conf import config
from cachepatterns.models import InvalidationEvent
from cachepatterns.triggers.definitions import MAX_ROWS
from tests.app.models import Category, Item, Label
from tests.triggers.conftest import another_client, told


def test_an_update_tells_old_and_new_values_of_what_entries_are_told_apart_by(goods, client):
    category, other, _ = goods
    client.execute(
        "UPDATE app_category SET parent_id = %s, name = 'x' WHERE id = %s",
        [other.pk, category.pk],
    )
    ((table, op, rows),) = told()
    assert (table, op) == ("category", "UPDATE")
    before = {"id": category.pk, "slug": "a", "parent_id": None}
    assert rows == [{"old": before, "new": {**before, "parent_id": other.pk}}]


def test_of_a_model_with_rules_all_columns_are_told(goods, client):
    client.execute("UPDATE app_item SET price = 7 WHERE id = %s", [goods[2][0].pk])
    ((_, _, rows),) = told()
    assert set(rows[0]["old"]) == {f.column for f in Item._meta.local_concrete_fields}
    assert (rows[0]["old"]["price"], rows[0]["new"]["price"]) == (0, 7)


def test_inserts_deletes_and_upserts(goods, client):
    client.execute("INSERT INTO app_label (name) VALUES ('x'), ('y')")
    ((table, op, rows),) = told()
    assert (table, op) == ("label", "INSERT")
    assert [(row["old"], row["new"]["name"]) for row in rows] == [(None, "x"), (None, "y")]
    client.execute(
        "INSERT INTO app_label (name) VALUES ('x'), ('z') ON CONFLICT (name) DO UPDATE SET "
        "name = 'w'"
    )
    found = {op: rows for _, op, rows in told()}
    assert [row["new"]["name"] for row in found["INSERT"]] == ["z"]
    assert [(r["old"]["name"], r["new"]["name"]) for r in found["UPDATE"]] == [("x", "w")]
    client.execute("DELETE FROM app_label WHERE name = 'w'")
    ((_, op, rows),) = told()
    assert (op, rows[0]["old"]["name"], rows[0]["new"]) == ("DELETE", "w", None)


def test_a_changed_key_makes_two_rows(goods, client):
    pk = goods[2][0].pk
    client.execute("UPDATE app_item SET id = id + 1000 WHERE id = %s", [pk])
    ((_, _, rows),) = told()
    pairs = {(row["old"] and row["old"]["id"], row["new"] and row["new"]["id"]) for row in rows}
    assert pairs == {(pk, None), (None, pk + 1000)}


def test_what_changes_nothing_is_not_told(goods, client):
    client.execute("UPDATE app_item SET price = price")
    client.execute("DELETE FROM app_item WHERE id = -1")
    client.execute("UPDATE app_item SET price = 3 WHERE id = -1")
    assert told() == []


def test_copy_and_truncate(goods, client):
    with client.cursor().copy("COPY app_label (name) FROM STDIN") as copy:
        copy.write_row(["copied"])
    ((_, op, rows),) = told()
    assert (op, rows[0]["new"]["name"]) == ("INSERT", "copied")
    client.execute("TRUNCATE app_label CASCADE")
    assert told() == [("label", "TRUNCATE", None), ("item_labels", "TRUNCATE", None)]


@pytest.mark.parametrize(("count", "are_told"), [(MAX_ROWS, True), (MAX_ROWS + 1, False)])
def test_of_very_many_rows_only_the_table_is_told(goods, client, count, are_told):
    for sql, op in [
        (f"INSERT INTO app_label (name) SELECT n FROM generate_series(1, {count}) AS n", "INSERT"),
        ("UPDATE app_label SET name = 'x' || name", "UPDATE"),
        ("DELETE FROM app_label", "DELETE"),
    ]:
        client.execute(sql)
        ((table, found, rows),) = told()
        assert (table, found) == ("label", op)
        assert (len(rows) == count) if are_told else (rows is None)


def test_a_rollback_takes_the_event_along(goods, client):
    client.execute("BEGIN; UPDATE app_item SET price = 7; ROLLBACK")
    assert told() == []


def test_cascades_of_the_database(goods, client):
    """Rows that the server deletes by itself, for a foreign key that says so."""
    category, _, items = goods
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'app_item'::regclass "
            "AND confrelid = 'app_category'::regclass AND conkey = (SELECT array_agg(attnum) "
            "FROM pg_attribute WHERE attrelid = 'app_item'::regclass AND attname = 'category_id')"
        )
        (name,) = cursor.fetchone()
        cursor.execute(
            f"ALTER TABLE app_item DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY "
            "(category_id) REFERENCES app_category ON DELETE CASCADE"
        )
    try:
        InvalidationEvent.objects.all().delete()
        client.execute("DELETE FROM app_category WHERE id = %s", [category.pk])
        found = {table: rows for table, _, rows in told()}
        assert {row["old"]["id"] for row in found["item"]} == {item.pk for item in items}
        assert found["category"][0]["old"]["id"] == category.pk
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE app_item DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY "
                "(category_id) REFERENCES app_category DEFERRABLE INITIALLY DEFERRED"
            )


def test_functions_and_triggers_of_the_databases_own(goods, client):
    client.execute(
        """
        CREATE FUNCTION relabel() RETURNS void LANGUAGE sql AS
        $$ INSERT INTO app_label (name) VALUES ('by function') $$
        """
    )
    client.execute(
        """
        CREATE FUNCTION on_category() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN UPDATE app_item SET price = 42; RETURN NULL; END $$
        """
    )
    client.execute(
        "CREATE TRIGGER theirs AFTER UPDATE ON app_category "
        "FOR EACH STATEMENT EXECUTE FUNCTION on_category()"
    )
    try:
        client.execute("SELECT relabel()")
        assert [(t, op) for t, op, _ in told()] == [("label", "INSERT")]
        Category.objects.update(name="new")
        assert ("item", "UPDATE") in [(t, op) for t, op, _ in told()]
    finally:
        client.execute("DROP FUNCTION relabel")
        client.execute("DROP FUNCTION on_category CASCADE")


def test_what_is_written_with_triggers_switched_off_is_told_too(goods, client):
    client.execute("SET session_replication_role = replica")
    client.execute("UPDATE app_item SET price = 7 WHERE id = %s", [goods[2][0].pk])
    assert len(told()) == 1


def test_who_may_write_the_table_need_not_be_allowed_to_write_the_outbox(goods, client):
    client.execute("CREATE ROLE cp_writer")
    try:
        client.execute("GRANT SELECT, UPDATE ON app_item TO cp_writer")
        client.execute("SET ROLE cp_writer")
        client.execute("SET search_path = pg_temp")
        client.execute("UPDATE public.app_item SET price = 7")
        assert len(told()) == 1
    finally:
        client.execute("RESET ROLE")
        client.execute("DROP OWNED BY cp_writer")
        client.execute("DROP ROLE cp_writer")


def test_the_parents_and_the_links_of_many_to_many(goods, client):
    item, label = goods[2][0], Label.objects.create(name="x")
    told()
    client.execute("INSERT INTO app_item_labels (item_id, label_id) VALUES (%s, %s)",
                   [item.pk, label.pk])  # fmt: skip
    client.execute("INSERT INTO app_place (name) VALUES ('p')")
    assert [(t, op) for t, op, _ in told()] == [("item_labels", "INSERT"), ("place", "INSERT")]


def test_a_column_that_a_migration_takes_away_breaks_no_write(goods, client):
    """Between the migration and the new triggers, others write on."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app_category RENAME COLUMN slug TO snail")
    try:
        with another_client() as newcomer:  # as well as one who has the old plans
            for who in (client, newcomer):
                who.execute("UPDATE app_category SET name = name || '.' WHERE id = %s",
                            [goods[0].pk])  # fmt: skip
                ((_, _, rows),) = [e for e in told() if e[0] == "category"]
                assert rows[0]["new"]["slug"] == {}  # what no field spells: the model is bumped
                assert rows[0]["new"]["id"] == goods[0].pk
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE app_category RENAME COLUMN snail TO slug")


def test_even_the_key_may_go(goods, client):
    client.execute("UPDATE app_category SET name = name || '.'")
    told()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app_category RENAME COLUMN id TO key")
    try:
        client.execute("UPDATE app_category SET name = name || '.'")
        ((_, _, rows),) = [e for e in told() if e[0] == "category"]
        assert len(rows) == 4  # not paired
        assert all((row["old"] or row["new"])["id"] == {} for row in rows)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE app_category RENAME COLUMN key TO id")


def writes(item):
    """Ways to write that Django accounts for, row by row or coarsely."""
    item.price = 9
    yield item.save
    yield lambda: Label.objects.create(name="new")
    yield lambda: Label.objects.bulk_create([Label(name="bulk")])
    yield lambda: Item.objects.filter(pk=item.pk).update(price=8)
    yield lambda: Item.objects.update(price=7)
    yield lambda: item.labels.add(*Label.objects.all())
    yield item.delete


@pytest.mark.parametrize("atomic", [False, True])
def test_what_django_accounts_for_is_not_told_again(goods, settings, atomic):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRIGGERS": True}
    for write in writes(goods[2][0]):
        with transaction.atomic() if atomic else nullcontext():
            write()
        assert told() == []


def test_without_the_setting_it_is_told_twice_which_costs_misses_only(goods):
    Item.objects.update(price=9)
    assert len(told()) == 1


def test_what_django_does_not_account_for_is_told(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRIGGERS": True}
    connection.connection.execute("UPDATE app_item SET price = 9")
    assert len(told()) == 1


def test_a_statement_copied_from_a_log_is_told(goods, client, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRIGGERS": True}
    pid = connection.connection.info.backend_pid
    statement = f"UPDATE app_item SET price = 9 /*cachepatterns:{config().PREFIX}:{pid}:app_item*/"
    client.execute(statement)
    assert len(told()) == 1
    connection.connection.execute(statement.replace("= 9", "= 8"))  # here it counts
    assert told() == []


def test_who_bumps_under_another_prefix_accounts_for_nothing_here(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRIGGERS": True, "PREFIX": "another"}
    Item.objects.update(price=9)
    assert len(told()) == 1


def test_where_other_triggers_may_have_a_say_django_is_not_believed(goods, client, settings):
    client.execute(
        """
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.name = 'meddled'; RETURN NEW; END $$
        """
    )
    client.execute(
        "CREATE TRIGGER meddle BEFORE INSERT ON app_label FOR EACH ROW EXECUTE FUNCTION meddle()"
    )
    try:
        triggers.install("default")
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRIGGERS": True}
        Label.objects.create(name="new")
        ((_, _, rows),) = told()
        assert rows[0]["new"]["name"] == "meddled"
    finally:
        client.execute("DROP FUNCTION meddle CASCADE")
        triggers.install("default")
