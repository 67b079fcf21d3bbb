"""On PostgreSQL no write of Django's is coarse, whoever's manager it began with.

Neither by the counter that the admin shows, nor by the tags: what is bumped are rows, not models.
"""

import os
from functools import partial

import pytest
from django.db import connection, models, transaction

from cachepatterns import uncached
from cachepatterns.core.tag import model_tag
from cachepatterns.stats.recorder import recorder
from cachepatterns.stats.report import report
from cachepatterns.transactions import database_id
from tests.app.models import Category, Item, Note
from tests.events import outcome_of, seen
from tests.write_paths.conftest import DATABASES
from tests.write_paths.world import NEW, A, B, C, plain, restore

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.usefixtures("world"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="what others can not tell"),
]


def item(**values):
    return Item(**{"name": "new", "sku": "new", "category_id": C, "price": 1} | values)


def changed(model, **values):
    found = plain(model, "default").get(pk=A)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def upsert(objects, rows, *, update=("category",), by="sku"):
    return objects.bulk_create(
        rows, update_conflicts=True, update_fields=list(update), unique_fields=[by]
    )


OURS, PLAIN = Item.objects, models.QuerySet(Item)
WRITES = {
    "save": lambda: changed(Item, category_id=C).save(),
    "save of a new row": lambda: item().save(),
    "save of a new row with its key": lambda: item(pk=NEW).save(),
    "save by a plain base manager": lambda: changed(Note, text="new", item_id=B).save(),
    "save of a new row by a plain base manager": lambda: Note(item_id=A, text="new").save(),
    "save of an expression": lambda: changed(Note, text=models.F("id")).save(),
    "update": lambda: OURS.filter(category=A).update(category=C),
    "update, plain": lambda: PLAIN.filter(category=A).update(category=C),
    "bulk_create": lambda: OURS.bulk_create([item(), item(pk=NEW, sku="x")]),
    "bulk_create, plain": lambda: PLAIN.bulk_create([item(), item(pk=NEW, sku="x")]),
    "ignore_conflicts": lambda: OURS.bulk_create([item(), item(sku="sku-1")], **IGNORE),
    "ignore_conflicts, plain": lambda: PLAIN.bulk_create([item(), item(sku="sku-1")], **IGNORE),
    "bulk_update": lambda: OURS.bulk_update([changed(Item, category_id=C)], ["category"]),
    "bulk_update, plain": lambda: PLAIN.bulk_update([changed(Item, category_id=C)], ["category"]),
}
UPSERTS = {
    "update_conflicts": lambda: upsert(OURS, [item(sku="sku-1"), item()]),
    "update_conflicts, plain": lambda: upsert(PLAIN, [item(sku="sku-1"), item()]),
}
IGNORE = {"ignore_conflicts": True}
TELLS_OLD = os.environ.get("TESTS_DATABASE", "postgresql18") == "postgresql18"


@pytest.fixture
def counted(silent_recorder, empty_cache):
    """What the admin and `cache_stats` count from here on.

    The recorder's thread has ended before the buckets are emptied: it may be at a flush of what
    earlier tests have done.
    """
    recorder.forget()

    def totals():
        assert recorder.flush()
        return report().totals

    yield totals
    recorder.forget()


def rows_alone(event):
    """Whether no whole model is bumped, nor counted as if it were."""
    told = (Item, Note, Category)
    whole = {model_tag(m._meta.label_lower, database_id(connection)) for m in told}
    return not event.coarse and not whole.intersection(event.tags)


@pytest.mark.parametrize("name", [*WRITES, *(UPSERTS if TELLS_OLD else ())])
def test_the_coarse_counter_stays_0_for(name, counted):
    write = (WRITES | UPSERTS)[name]
    restore("goods", "default")
    with seen() as found:
        write()
    restore("goods", "default")
    with seen() as more, transaction.atomic():
        write()
    assert found.invalidations
    assert more.invalidations
    assert all(map(rows_alone, [*found.invalidations, *more.invalidations]))
    totals = counted()
    assert totals.invalidations > 0
    assert totals.coarse == 0


@pytest.mark.skipif(
    TELLS_OLD, reason="for databases before PostgreSQL 18 (make test-databases): 18 tells them"
)
@pytest.mark.parametrize("name", UPSERTS)
def test_before_18_only_upserts_are_coarse(name, counted):
    restore("goods", "default")
    with seen() as found:
        UPSERTS[name]()
    assert [event.coarse for event in found.invalidations] == [True]


# -- just the rows that were written -----------------------------------------------------------


def listed(category):
    return list(
        Item.objects.filter(category=category).order_by("pk").values_list("sku", flat=True)
    )


def hits_after(write, prepare=lambda: None):
    """Which categories' lists are answered from the cache after `write`, all being right."""
    restore("goods", "default")
    prepare()
    for category in (A, B, C):
        listed(category)
    write()
    hits = [c for c in (A, B, C) if outcome_of(partial(listed, c)) in {"hit", "negative"}]
    with uncached():
        truth = [listed(c) for c in (A, B, C)]
    assert [listed(c) for c in (A, B, C)] == truth
    return hits


@pytest.mark.skipif(not TELLS_OLD, reason="upserts are coarse before PostgreSQL 18")
@pytest.mark.parametrize("objects", [OURS, PLAIN], ids=["ours", "plain"])
def test_an_upsert_concerns_the_list_a_row_leaves_the_one_it_joins_and_no_third(
    objects, empty_cache
):
    moved = [item(sku="sku-1", category_id=C)]
    assert hits_after(lambda: upsert(objects, moved)) == [B]
    assert moved[0].pk == A, "Django is told the key of the row that was there"
    stays = [item(sku="sku-2", stock=7)]
    assert hits_after(lambda: upsert(objects, stays, update=["stock"])) == [A, C]
    both = [item(sku="sku-1", category_id=B), item(sku="fresh", category_id=B)]
    assert hits_after(lambda: upsert(objects, both)) == [C]
    assert both[0].pk == A
    assert plain(Item, "default").get(sku="fresh").pk == both[1].pk


@pytest.mark.parametrize("objects", [OURS, PLAIN], ids=["ours", "plain"])
def test_what_is_ignored_concerns_nobody(objects, empty_cache):
    known = [item(sku="sku-1"), item(sku="sku-2", pk=A)]
    assert hits_after(lambda: objects.bulk_create(known, **IGNORE)) == [A, B, C]
    some = [item(sku="sku-1", category_id=A), item(category_id=B)]
    assert hits_after(lambda: objects.bulk_create(some, **IGNORE)) == [A, C]
    assert [one.pk for one in some] == [None, None], "Django does not ask for keys"


def test_a_key_nobody_has_had_is_found_once_it_was_made_by_an_ignoring_insert(empty_cache):
    """That there is no such row stands in the cache, under a key that only the database tells."""
    restore("goods", "default")
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('app_item', 'id'))")
        coming = cursor.fetchone()[0] + 1
    assert not Item.objects.filter(pk=coming).exists()
    assert Item.objects.filter(pk=coming).first() is None
    Item.objects.bulk_create([item()], **IGNORE)
    assert Item.objects.filter(pk=coming).first().sku == "new"
    assert Item.objects.get(pk=coming).sku == "new"


TRIGGER = """
    CREATE OR REPLACE FUNCTION pg_temp.odd() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN {body} END $$;
    CREATE OR REPLACE TRIGGER odd BEFORE INSERT ON app_item
        FOR EACH ROW EXECUTE FUNCTION pg_temp.odd()
"""


@pytest.mark.parametrize(
    ("body", "hits"),
    [
        pytest.param(f"NEW.category_id := {B}; RETURN NEW;", [A, C], id="changes it"),
        pytest.param(
            f"UPDATE app_item SET category_id = {C} WHERE id = {A}; RETURN NULL;",
            [],
            id="puts it elsewhere",
        ),
    ],
)
def test_what_a_trigger_makes_of_a_new_row_is_told(body, hits, empty_cache):
    def send(sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)

    # Two: of a single one that is swallowed Django misses the key.
    rows = [item(pk=NEW, category_id=A), item(pk=NEW + 1, sku="x", category_id=A)]
    try:
        found = hits_after(
            lambda: OURS.bulk_create(rows), prepare=lambda: send(TRIGGER.format(body=body))
        )
        assert found == hits
    finally:
        send("DROP TRIGGER odd ON app_item")
