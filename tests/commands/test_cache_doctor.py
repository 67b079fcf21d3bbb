"""cache_doctor asks everything that can be asked, and says what to do."""

import json

import pytest
from django.db import connections

from cachepatterns import triggers
from cachepatterns.live.unseen import written_names
from cachepatterns.models import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.write.relay import Relay
from tests.app.caching import ItemPolicy

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture
def execute():
    """Run SQL on a database; what it made is dropped by the statements given along."""
    drops = []

    def run_sql(sql, *undo, alias="default"):
        drops.extend((alias, statement) for statement in undo)
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)

    yield run_sql
    for alias, statement in reversed(drops):
        with connections[alias].cursor() as cursor:
            cursor.execute(statement)


@pytest.fixture
def set_to(settings):
    def change(**values):
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, **values}

    return change


@pytest.fixture
def findings(run):
    """What it finds about a topic, as ``(state, text)``."""

    def ask(topic):
        answer = json.loads(run("cache_doctor", "--json").out)
        return [(f["state"], f["text"]) for f in answer["findings"] if f["topic"] == topic]

    return ask


def states(found, word):
    return {state for state, text in found if word in text}


def test_it_says_what_is_in_order_and_what_is_not(run):
    answer = run("cache_doctor")
    assert answer.code == 0
    assert "ok      redis: Valkey" in answer.out
    assert "WARNING database default: transaction_timeout is off" in answer.out
    assert "→ Set DATABASES['default']" in answer.out
    assert "ok      guards:" in answer.out
    assert run("cache_doctor", "--strict").code == 1


def test_unreachable_servers_have_an_exit_code_of_their_own(run, redis_down):
    assert run("cache_doctor").code == 4


def test_wrong_settings_are_failures(run, set_to):
    set_to(ENABELD=True)
    answer = run("cache_doctor")
    assert answer.code == 1
    assert "Did you mean 'ENABLED'?" in answer.out


def test_models_in_quarantine_are_named(findings, set_to):
    from cachepatterns.backends.store import current_store
    from cachepatterns.quarantine import guard_keys

    current_store().backend.delete([key for key in guard_keys() if ":app.item@" in key])
    current_store().tend(guard_keys())
    ((state, text),) = findings("guards")
    assert state == "note"
    assert "app.item@" in text


TRIGGER = """
    CREATE FUNCTION restock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE public.app_item SET stock = 0 WHERE category_id = NEW.id; RETURN NULL;
    END $$;
    CREATE TRIGGER restock AFTER UPDATE ON app_category FOR EACH ROW EXECUTE FUNCTION restock()
"""
FOREIGN_KEY = """
    CREATE TABLE app_unknown (id bigint PRIMARY KEY);
    ALTER TABLE app_label ADD COLUMN unknown_id bigint
        REFERENCES app_unknown ON DELETE SET NULL ON UPDATE CASCADE
"""
DROP_KEY = ("DROP TABLE app_unknown", "ALTER TABLE app_label DROP COLUMN unknown_id")


def test_what_the_database_writes_by_itself_and_nobody_sees(findings, execute):
    assert states(findings("database default"), "by itself") == {"ok"}
    execute(TRIGGER, "DROP FUNCTION restock CASCADE")
    execute(FOREIGN_KEY, *DROP_KEY)
    execute(
        "CREATE RULE loud AS ON UPDATE TO app_place DO ALSO DELETE FROM app_label",
        "DROP RULE loud ON app_place",
    )
    found = findings("database default")
    assert states(found, "trigger restock on app_category writes app_item") == {"warning"}
    assert states(found, "rule loud on app_place writes app_label") == {"warning"}
    assert states(found, "app_label refers to app_unknown ON DELETE SET NULL") == {"warning"}
    assert states(found, "app_label refers to app_unknown ON UPDATE CASCADE") == {"warning"}


def test_our_triggers_see_it(findings, execute, set_to):
    execute(TRIGGER, "DROP FUNCTION restock CASCADE")
    execute(FOREIGN_KEY, *DROP_KEY)
    triggers.install("default", ["app"])
    try:
        found = findings("database default")
        assert states(found, "app_item: seen by our triggers") == {"ok"}
        assert states(found, "SET NULL: seen by our triggers") == {"ok"}
        assert states(findings("outbox default"), "OUTBOX is off") == {"failure"}
        found = findings("triggers default")
        assert "warning" in {state for state, _ in found}  # other apps' tables have none
        assert states(found, "bumped twice") == {"note"}
    finally:
        triggers.remove("default")
    set_to(TRIGGERS=True)
    assert states(findings("triggers default"), "none are installed") == {"warning"}


@pytest.mark.parametrize("timing", ["BEFORE", "AFTER"])
def test_a_trigger_that_changes_the_rows_being_written(findings, execute, timing):
    execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.name = 'x'; RETURN NEW; END $$",
        "DROP FUNCTION meddle CASCADE",
    )
    execute(
        f"CREATE TRIGGER meddle {timing} INSERT ON app_label FOR EACH ROW "
        "EXECUTE FUNCTION meddle()"
    )
    expected = {"warning"} if timing == "BEFORE" else set()
    assert states(findings("database default"), "trigger meddle") == expected


def test_what_can_not_be_read_is_unknown(findings, execute):
    execute(
        "CREATE FUNCTION dark() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN EXECUTE 'x' || 'y'; RETURN NULL; END $$;"
        "CREATE TRIGGER dark AFTER INSERT ON app_label FOR EACH ROW EXECUTE FUNCTION dark()",
        "DROP FUNCTION dark CASCADE",
    )
    assert states(findings("database default"), "trigger dark") == {"unknown"}


def test_on_sqlite_too(findings, execute, monkeypatch):
    monkeypatch.setattr(ItemPolicy, "databases", ["sqlite"])
    site.forget()
    try:
        execute(
            "CREATE TRIGGER restock AFTER UPDATE ON app_category BEGIN "
            "UPDATE app_item SET stock = 0; END",
            "DROP TRIGGER restock",
            alias="sqlite",
        )
        execute(
            "CREATE TABLE app_unknown (id integer PRIMARY KEY, "
            "label_id bigint REFERENCES app_label ON DELETE CASCADE)",
            "DROP TABLE app_unknown",
            alias="sqlite",
        )
        found = findings("database sqlite")
        assert states(found, "trigger restock on app_category writes app_item") == {"warning"}
        assert states(found, "app_unknown") == set()  # not cached: nobody minds
    finally:
        monkeypatch.undo()
        site.forget()


def test_an_outbox_without_relays_and_with(findings, set_to):
    set_to(OUTBOX=True)
    assert states(findings("outbox default"), "No relay is running") == {"failure"}
    relay = Relay("default")
    relay.round()
    relay.close()
    assert states(findings("outbox default"), "1 relays have reported") == {"ok"}
    InvalidationEvent.objects.create(payload={"tags": [], "labels": []})
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE cachepatterns_invalidationevent SET created_at = now() - interval '1 minute'"
        )
    assert "warning" in states(findings("outbox default"), "events wait")


def test_the_tables_that_a_functions_text_writes():
    text = """
        SELECT * INTO kept FROM read_only;
        INSERT INTO "Public"."App_Item" VALUES (1);
        update only app_label SET x = 1;
        DELETE FROM app_place USING other;
        TRUNCATE TABLE app_shop;
        MERGE INTO app_note USING t ON true WHEN MATCHED THEN DELETE;
    """
    assert written_names(text) == {
        "kept", "app_item", "app_label", "app_place", "app_shop", "app_note",
    }  # fmt: skip
