"""`cache_triggers`: installing, comparing, removing; by exit codes, as a deployment sees it."""

import json

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.db.models.functions import Upper

from cachepatterns import triggers
from cachepatterns.models import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.triggers.catalog import read_functions
from cachepatterns.triggers.definitions import FUNCTION_PREFIX, body, function_name
from tests.app.caching import ItemPolicy
from tests.app.models import Item, Label
from tests.events import outcome_of
from tests.triggers.conftest import told


@pytest.fixture(autouse=True)
def clean(transactional_db, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": True}
    yield
    triggers.remove("default")


def ours():
    """How many functions and triggers of ours there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid "
            "WHERE starts_with(proname, %s)",
            [FUNCTION_PREFIX],
        )
        (count,) = cursor.fetchone()
        return len(read_functions(cursor)), count


def test_install_status_and_remove(run):
    assert run("cache_triggers", "status", "app.Label").code == 1
    answer = run("cache_triggers", "install", "app.Label", "app.Item", "--json")
    assert answer.code == 0
    assert [t["model"] for t in json.loads(answer.out)["tables"]] == ["app.item", "app.label"]
    assert ours() == (2, 8)
    assert "mended" in answer.err
    again = run("cache_triggers", "install", "app.Label", "app.Item")
    assert again.code == 0
    assert "mended" not in again.err
    assert "public.app_label (app.label): installed" in again.out
    whole = run("cache_triggers", "status")
    assert whole.code == 1
    assert "public.app_place (app.place): missing" in whole.out
    assert run("cache_triggers", "remove", "app.Label").code == 0
    assert ours() == (1, 4)
    assert run("cache_triggers", "remove").code == 0
    assert ours() == (0, 0)
    assert "nothing to remove" in run("cache_triggers", "remove").out


def test_all_that_is_watched(run):
    assert run("cache_triggers", "install").code == 0
    answer = json.loads(run("cache_triggers", "status", "--json").out)
    watched = {model._meta.label_lower for model in site.tracked().values()}
    assert {table["model"] for table in answer["tables"]} >= {
        "app.item", "app.item_labels", "app.place", "app.shop",
    }  # fmt: skip
    views = {policy.label for policy in site.policies() if policy.depends_on}
    assert {table["model"] for table in answer["tables"]} == watched - views
    assert InvalidationEvent._meta.label_lower not in watched


def test_what_was_written_before_is_read_anew(settings, empty_cache):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}  # no lease needed

    def read():
        return outcome_of(lambda: list(Label.objects.all()))

    Label.objects.create(name="x")
    assert (read(), read()) == ("miss", "hit")
    triggers.install("default", ["app.label"])
    assert read() == "miss"


def test_without_an_outbox_that_is_on_nothing_is_installed(run, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}
    answer = run("cache_triggers", "install")
    assert answer.code == 2
    assert "relay_invalidations" in answer.err
    assert ours() == (0, 0)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DROP TRIGGER cachepatterns_delete ON app_item", "no trigger for DELETE"),
        ("ALTER TABLE app_item DISABLE TRIGGER cachepatterns_insert", "no trigger for INSERT"),
        ("ALTER TABLE app_item ENABLE TRIGGER cachepatterns_update", "no trigger for UPDATE"),
    ],
)
def test_what_was_damaged_is_outdated_and_mended(run, damage, problem):
    run("cache_triggers", "install", "app.Item")
    with connection.cursor() as cursor:
        cursor.execute(damage)
    answer = run("cache_triggers", "status", "app.Item")
    assert answer.code == 1
    assert "outdated" in answer.out
    assert problem in answer.out
    assert run("cache_triggers", "install", "app.Item").code == 0


def test_another_narrowing_needs_another_function_and_migrate_makes_it(run, monkeypatch):
    run("cache_triggers", "install", "app.Label")
    from tests.app.caching import Plain

    monkeypatch.setattr(Plain, "narrow_by_only", ["name"], raising=False)
    monkeypatch.setattr(Plain, "affects", ItemPolicy.affects)
    site.forget()
    try:
        answer = run("cache_triggers", "status", "app.Label")
        assert "its function is of another version" in answer.out
        call_command("migrate", verbosity=0)
        assert run("cache_triggers", "status", "app.Label").code == 0
    finally:
        monkeypatch.undo()
        site.forget()


def test_migrate_installs_nothing_where_nothing_is():
    call_command("migrate", verbosity=0)
    assert ours() == (0, 0)


def test_triggers_of_tables_that_are_not_watched_any_more(run, monkeypatch):
    run("cache_triggers", "install")
    before = ours()
    monkeypatch.setattr(site, "_declared", {m: p for m, p in site._declared.items() if m != Item})
    site.forget()
    try:
        answer = run("cache_triggers", "status")
        assert "orphaned" in answer.out
        assert answer.code == 1
        assert run("cache_triggers", "install").code == 0
        assert ours() < before
    finally:
        monkeypatch.undo()
        site.forget()


def test_a_dry_run_prints_what_another_may_execute(run, client):
    answer = run("cache_triggers", "install", "app.Item", "--dry-run")
    assert ours() == (0, 0)
    client.execute(answer.out)
    assert run("cache_triggers", "status", "app.Item").code == 0


def test_partitions_take_part_also_when_written_themselves(run, client):
    rename = "ALTER TABLE app_label RENAME TO {}"
    client.execute(rename.format("app_label_plain"))
    client.execute(
        """
        CREATE TABLE app_label (id bigint GENERATED BY DEFAULT AS IDENTITY, name varchar(50))
            PARTITION BY LIST (name);
        CREATE TABLE app_label_x PARTITION OF app_label FOR VALUES IN ('x');
        CREATE TABLE app_label_rest (name varchar(50), id bigint NOT NULL);
        ALTER TABLE app_label ATTACH PARTITION app_label_rest DEFAULT
        """
    )
    try:
        assert run("cache_triggers", "install", "app.Label").code == 0
        assert ours() == (1, 12)
        InvalidationEvent.objects.all().delete()  # installing invalidates everything
        client.execute("INSERT INTO app_label (name) VALUES ('x'), ('y')")
        client.execute("UPDATE app_label SET name = 'z' WHERE name = 'x'")
        client.execute("DELETE FROM app_label_rest WHERE name = 'y'")
        insert, update, delete = told()
        assert [row["new"]["name"] for row in insert[2]] == ["x", "y"]
        assert [(r["old"]["name"], r["new"]["name"]) for r in update[2]] == [("x", "z")]
        assert (delete[0], delete[2][0]["old"]["name"]) == ("label", "y")
        client.execute("CREATE TABLE app_label_a PARTITION OF app_label FOR VALUES IN ('a')")
        answer = run("cache_triggers", "status", "app.Label")
        assert "no trigger for INSERT on public.app_label_a" in answer.out
    finally:
        client.execute("DROP TABLE app_label")
        client.execute(rename.replace("app_label", "app_label_plain", 1).format("app_label"))


def test_a_view_can_have_none_and_needs_none_where_it_is_known_what_feeds_it(
    run, client, monkeypatch
):
    client.execute("ALTER TABLE app_label RENAME TO app_label_plain")
    client.execute("CREATE VIEW app_label AS SELECT * FROM app_label_plain")
    try:
        answer = run("cache_triggers", "install", "app.Label")
        assert answer.code == 1
        assert "impossible" in answer.out
        monkeypatch.setattr(site, "depends_on", lambda model: frozenset({Item}))
        assert run("cache_triggers", "status", "app.Label").code == 0
    finally:
        client.execute("DROP VIEW app_label; ALTER TABLE app_label_plain RENAME TO app_label")


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_wrong_usage_is_told(run):
    answer = run("cache_triggers", "install", "--database", "sqlite")
    assert answer.code == 2
    assert "PostgreSQL only" in answer.err
    assert "'default'" in run("cache_triggers", "status", "--database", "defualt").err
    assert run("cache_triggers", "status", "app.Nothing").code == 2


def test_without_the_outboxs_table_nothing_is_installed(run, client):
    client.execute("ALTER TABLE cachepatterns_invalidationevent RENAME TO elsewhere")
    try:
        answer = run("cache_triggers", "install")
        assert answer.code == 2
        assert "migrate cachepatterns" in answer.err
    finally:
        client.execute("ALTER TABLE elsewhere RENAME TO cachepatterns_invalidationevent")


def test_a_table_in_use_is_not_waited_for_for_ever(run, client, monkeypatch):
    from cachepatterns.triggers import installing

    monkeypatch.setattr(installing, "LOCK_TIMEOUT", "50ms")
    client.execute("BEGIN; LOCK TABLE app_label IN ROW EXCLUSIVE MODE")
    answer = run("cache_triggers", "install", "app.Label", "app.Item")
    client.execute("ROLLBACK")
    assert answer.code == 1
    assert "try again" in answer.err
    assert ours() == (0, 0)


@pytest.mark.parametrize("table", ["t", "x" * 63, 'Straße "ß"', "auth_user"])
def test_names_are_short_and_tell_tables_apart(table):
    name = function_name("public", table)
    assert len(name.encode()) < 63
    assert name != function_name("other", table)


def test_virtual_columns_which_the_database_does_not_tell_are_left_out(monkeypatch):
    field = models.GeneratedField(
        expression=Upper("name"), output_field=models.CharField(max_length=50), db_persist=False
    )
    field.set_attributes_from_name("loud")
    fields = (*Item._meta.local_concrete_fields, field)
    monkeypatch.setitem(Item._meta.__dict__, "local_concrete_fields", fields)
    assert "to_jsonb(r) - ARRAY['loud']" in body(
        Item, "public", "app_item", "outbox", has_own_triggers=False
    )
