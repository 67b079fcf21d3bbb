"""Each kind of entry, right and wrong: a wrong one is found, a right one is not."""

import datetime

import pytest
from django.db.models import Avg, Count, Max, Min, Sum
from django.db.models.sql.compiler import SQLCompiler

from cachepatterns.backends.store import current_store
from cachepatterns.core import codec
from cachepatterns.core.entry import pack, unpack
from cachepatterns.core.key import answer_key
from cachepatterns.quarantine import declare_no_writers
from cachepatterns.registry import site
from cachepatterns.verifying import verify
from tests.app.caching import ItemPolicy
from tests.app.models import Category, CheapItem, Item
from tests.commands.test_cache_verify import past_django
from tests.events import outcome_of

MADE = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


def raw(sql, params=()):
    return list(Item.objects.raw(sql, params, tags=[Item]))


NUMBERS = (Avg("stock"), Sum("price"), Max("made"), Min("rating"), Avg("price"))

KINDS = {
    "count": lambda: Item.objects.filter(price__gte="0.50").count(),
    "count of none": lambda: Item.objects.filter(sku="nobody's").count(),
    "count of a slice": lambda: Item.objects.order_by("name")[1:3].count(),
    "exists": lambda: Item.objects.filter(sku="a").exists(),
    "exists not": lambda: Item.objects.filter(sku="nobody's").exists(),
    "exists in a slice": lambda: Item.objects.distinct()[1:2].exists(),
    "aggregate": lambda: Item.objects.aggregate(*NUMBERS, n=Count("sku"), m=Max("price")),
    "aggregate of none": lambda: Item.objects.filter(sku="nobody's").aggregate(*NUMBERS),
    "aggregate of a proxy": lambda: CheapItem.objects.aggregate(Avg("stock")),
    "raw": lambda: raw("SELECT id, name, price * 2 AS p FROM app_item WHERE price < %s", [5]),
    "raw by name": lambda: raw("SELECT * FROM app_item WHERE stock = %(n)s", {"n": 0}),
    "raw without parameters": lambda: raw("SELECT id FROM app_item WHERE name LIKE 'a%'", None),
    "raw of none": lambda: raw("SELECT id, name FROM app_item WHERE price < 0"),
    "raw of lists": lambda: raw("SELECT id, name FROM app_item WHERE sku = ANY(%s)", [["a"]]),
    "rows": lambda: list(Item.objects.filter(price__gte="0.50")),
    "row": lambda: Item.objects.get(sku="a"),
}
SHORT = ["shortcuts", "compiled"]


@pytest.fixture(params=SHORT)
def all_is_kept(request, settings, own_prefix):
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "VERIFY_SHARE": 1,
        "SHORTCUTS": request.param == "shortcuts",
    }


@pytest.fixture
def goods(all_is_kept, items):
    Item.objects.filter(pk=items[0].pk).update(stock=1, rating=0.25, made=MADE)
    Item.objects.filter(pk=items[1].pk).update(stock=1)
    return items


def counts(found):
    return found.checked, found.stale, found.unknown, found.moving


def the_key(prefix):
    """The key of the one entry there is."""
    client = current_store().backend._client()
    asked = [key.decode() for key in client.scan_iter(match=f"{prefix}:asked:*")]
    (key,) = [*map(answer_key, asked), *client.scan_iter(match=f"{prefix}:row:*")]
    return key


def falsify(key, rows):
    """The entry, as valid as it was, with other rows."""
    client = current_store().backend._client()
    entry = unpack(client.get(key))
    signature, body = codec.encode_rows(rows)
    client.set(
        key,
        pack(
            stamps=entry.stamps,
            stored_at=entry.stored_at,
            load_seconds=0,
            ttl=60,
            row_count=len(rows),
            signature=signature,
            body=body,
        ),
    )


def wrong(kind, rows):
    """Other rows than these, as an answer of the same kind may have."""
    if not rows or kind.startswith("exists"):
        return [] if rows else [(1,)]
    (first, *others), *more = rows
    if isinstance(first, list):  # raw: the names, then the columns
        return [(first, *([*column, *(column[:1] or [7])] for column in others))]
    return [((first or 0) + 1 if isinstance(first, int | float) else 7, *others), *more]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_entry_is_found_and_a_right_one_is_not(goods, own_prefix, kind):
    read = KINDS[kind]
    read()
    assert outcome_of(read) in ("hit", "negative")
    found = verify()
    assert counts(found) == (1, 0, 0, 0)
    key = the_key(own_prefix)
    falsify(key, wrong(kind, unpack(current_store().backend.get_many([key])[0]).decode()))
    found = verify()
    assert counts(found) == (1, 1, 0, 0), found
    assert found.findings[0].label == "app.item"


def test_what_was_written_past_django_is_found_in_all_of_them(goods):
    kinds = {name: read for name, read in KINDS.items() if name != "exists in a slice"}
    for read in kinds.values():
        read()
    past_django(
        "UPDATE app_item SET price = 9, stock = stock + 7, sku = CASE name WHEN 'a' THEN "
        "'nobody''s' ELSE upper(sku) END"
    )
    found = verify()
    # Those who ask what is below 0, or for an `a…`, or only for the second and third, are right.
    right = {"count", "count of a slice", "raw without parameters", "raw of none"}
    assert (found.checked, found.stale) == (len(kinds), len(kinds) - len(right))
    assert found.unknown == 0


# Of rows of one price the first to be found is the cheapest. One UPDATE need not move it: where
# vacuum has made room, it stays before the others. What a transaction itself has left behind is
# not cleared before its end, so the row gets past them.
MOVE_THE_CHEAPEST = """DO $$
DECLARE
    cheapest int := (SELECT id FROM app_item ORDER BY price LIMIT 1);
BEGIN
    WHILE cheapest = (SELECT id FROM app_item ORDER BY price LIMIT 1) LOOP
        UPDATE app_item SET price = price WHERE id = cheapest;
    END LOOP;
END $$"""


def test_what_has_moved_or_changes_by_itself_is_not_held_against_raw_sql(goods, own_prefix):
    read = [
        lambda: raw("SELECT id, name FROM app_item WHERE stock >= 0"),
        lambda: raw("SELECT id, now() AS at FROM app_item"),
        lambda: raw("SELECT id, name FROM app_item ORDER BY price limit 1"),
    ]
    for ask in read:
        ask()
    past_django(MOVE_THE_CHEAPEST)
    found = verify()
    assert counts(found) == (1, 0, 2, 0)


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_aggregates_are_converted_as_on_the_database_that_they_come_from(all_is_kept, monkeypatch):
    for policy in (ItemPolicy, type(site.policy_for(Category).policy)):
        monkeypatch.setattr(policy, "databases", ("sqlite",))
    site.forget()
    try:
        declare_no_writers()
        category = Category.objects.using("sqlite").create(name="a", slug="a")
        for name in "ab":
            Item.objects.using("sqlite").create(
                name=name, sku=name, category=category, price="1.10", stock=2, made=MADE
            )
        there = Item.objects.using("sqlite")
        there.aggregate(*NUMBERS)
        there.filter(price__gt=1).count()
        list(there.raw("SELECT * FROM app_item WHERE price > %s", ["1"], tags=[Item]))
        assert there.aggregate(*NUMBERS)["stock__avg"] == 2.0
        assert counts(verify()) == (3, 0, 0, 0)
    finally:
        Item.objects.using("sqlite").all().delete()
        Category.objects.using("sqlite").all().delete()
        monkeypatch.undo()
        site.forget()


def test_only_the_share_is_kept(items, settings, own_prefix):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 0}
    for read in KINDS.values():
        read()
    found = verify()
    assert (found.by_label, found.unknown) == ({"app.item": 1}, 0)


def test_a_hit_compiles_nothing_and_sends_nothing(
    items, settings, monkeypatch, django_assert_num_queries
):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 1}
    reads = [KINDS[name] for name in ("count", "exists", "aggregate", "rows", "raw")]
    for _ in range(2):
        for read in reads:
            read()
    compiled = []
    with monkeypatch.context() as patched, django_assert_num_queries(0):
        patched.setattr(SQLCompiler, "as_sql", lambda self, *args: compiled.append(self))
        for read in reads:
            read()
    assert compiled == []
