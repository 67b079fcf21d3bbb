"""Which database is meant: tags by its name, entries by all that may change their answers."""

import copy

import pytest
from django.db import connection, connections, transaction

from cachepatterns import invalidate
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, source_id
from tests.aliases import added, create_tables
from tests.app.models import Category, Item
from tests.calm import nobody_writes
from tests.events import outcome_of, seen


@pytest.fixture
def other_address(goods):
    """A connection to the same database by another spelling of its host."""
    settings = {**copy.deepcopy(connection.settings_dict), "HOST": "localhost"}
    other = type(connections["default"])(settings, "other_address")
    yield other
    other.close()


def test_a_write_by_another_address_of_the_database_invalidates(goods, other_address):
    a, _, items = goods
    pk = items[0].pk

    def listed():
        return [i.price for i in Item.objects.filter(category=a)]

    Item.objects.get(pk=pk), listed()
    assert outcome_of(listed) == "hit"
    with other_address.cursor() as cursor:
        cursor.execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])
    assert Item.objects.get(pk=pk).price == 9
    assert listed() == [9, 2]


def test_tags_are_shared_and_entries_are_not(other_address):
    one = connections["default"]
    assert database_id(one) == database_id(other_address)
    assert source_id(one) != source_id(other_address)


CHANGES = {
    "role": {"USER": "tenant"},
    "time zone": {"TIME_ZONE": "Asia/Tokyo"},
    "schema": {"OPTIONS": {"options": "-c search_path=x"}},
    "assumed role": {"OPTIONS": {"assume_role": "tenant"}},
    "service": {"OPTIONS": {"service": "other"}},
    "first statement": {"OPTIONS": {"init_command": "SET sql_mode = ''"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_entries_are_apart_where_the_answers_may_be(what):
    one = connections["default"]
    other = type(one)({**one.settings_dict, **CHANGES[what]}, "other")
    assert source_id(one) != source_id(other)
    assert database_id(one) == database_id(other)


def test_naive_times_of_another_zone_are_apart(settings):
    """Without `USE_TZ` what is read is what the clocks of `TIME_ZONE` show."""
    settings.USE_TZ = False
    sources = set()
    for zone in ("Asia/Tokyo", "Europe/Berlin"):
        settings.TIME_ZONE = zone
        one = connections["default"]
        sources.add(source_id(type(one)(one.settings_dict, "other")))
    assert len(sources) == 2


def test_a_ttl_of_ones_own_is_an_entry_of_ones_own(goods):
    """Who asks for thirty seconds must not be handed what was stored for fifteen minutes."""
    query = Category.objects.filter(slug="a")
    list(query.all())
    assert outcome_of(lambda: list(query.cached(ttl=30))) == "miss"
    assert outcome_of(lambda: list(query.cached(ttl=30))) == "hit"
    assert outcome_of(lambda: list(query.all())) == "hit"


# -- several aliases ------------------------------------------------------------------------


@pytest.fixture
def cached_aliases(monkeypatch):
    """A way to say which aliases are cached."""

    def cache(*aliases):
        for model in (Category, Item):
            monkeypatch.setattr(type(site.policy_for(model).policy), "databases", aliases)
        site.forget()
        nobody_writes()

    yield cache
    monkeypatch.undo()
    site.forget()


def price(using, pk=1):
    return Item.objects.using(using).get(pk=pk).price


def prices(using):
    return list(Item.objects.using(using).order_by("pk").values_list("price", flat=True))


@pytest.fixture
def twins(django_db_setup, django_db_blocker, empty_cache, cached_aliases):
    """Two aliases of one database, both cached; the key of an item that costs 0."""
    # Without pytest-django's fixtures, which know only the databases there were before.
    with django_db_blocker.unblock(), added("twin"):
        cached_aliases("default", "twin")
        category = Category.objects.create(name="a", slug="a")
        item = Item.objects.create(name="i", sku="i", category=category, price=0)
        yield item.pk
        category.delete()
        connection.close()


WRITES = {
    "update": lambda pk, using: Item.objects.using(using).filter(pk=pk).update(price=9),
    "save": lambda pk, using: Item(
        pk=pk, name="x", sku="x", category=Category.objects.using(using).get(slug="a"), price=9
    ).save(using=using),
    "raw SQL": lambda pk, using: (
        connections[using].cursor().execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_two_aliases_of_one_database_share_its_entries_and_its_writes(
    twins, write, in_transaction
):
    pk = twins
    prices("default")
    assert price("default", pk) == 0
    assert outcome_of(lambda: price("twin", pk)) == "hit"
    assert outcome_of(lambda: prices("twin")) == "hit"
    if in_transaction:
        with transaction.atomic(using="twin"):
            write(pk, "twin")
            assert price("twin", pk) == 9
            assert price("default", pk) == 0
    else:
        write(pk, "twin")
    assert price("default", pk) == 9
    assert prices("default")[0] == 9


def test_an_alias_that_is_not_cached_invalidates_all_the_same(twins, cached_aliases):
    cached_aliases("default")
    pk = twins
    price("default", pk)
    with seen() as found:
        assert price("twin", pk) == 0
    assert found.reasons == ["other database"]
    Item.objects.using("twin").filter(pk=pk).update(price=9)
    assert price("default", pk) == 9


SHARDS = ("east", "west")


class ByKind:
    """Categories live in the west; items where they were asked for."""

    def db_for_read(self, model, **hints):
        if model is Category:
            return "west"
        instance = hints.get("instance")
        return instance._state.db if instance is not None else None

    def allow_relation(self, one, other, **hints):
        return True


@pytest.fixture
def shards(empty_cache, cached_aliases, tmp_path, django_db_blocker):
    """Item 1 costs 1 in the east and 2 in the west."""
    with (
        django_db_blocker.unblock(),
        added("east", like="sqlite", NAME=tmp_path / "east.db"),
        added("west", like="sqlite", NAME=tmp_path / "west.db"),
    ):
        for cost, shard in enumerate(SHARDS, start=1):
            create_tables(connections[shard])
            Category.objects.using(shard).create(pk=1, name=shard, slug="c")
            Item.objects.using(shard).create(pk=1, name="i", sku="i", category_id=1, price=cost)
        cached_aliases(*SHARDS)
        yield SHARDS


def test_shards_have_entries_and_tags_of_their_own(shards):
    for read in (price, prices, lambda using: Item.objects.using(using).in_bulk([1])[1].price):
        for _ in "miss", "hit":
            assert [read(shard) for shard in shards] in ([1, 2], [[1], [2]])
    Item.objects.using("east").filter(pk=1).update(price=9)
    assert outcome_of(lambda: price("west")) == "hit"
    assert outcome_of(lambda: prices("west")) == "hit"
    assert (price("east"), prices("east"), price("west")) == (9, [9], 2)
    invalidate(Item, using="west")
    assert outcome_of(lambda: price("east")) == "hit"
    assert outcome_of(lambda: price("west")) == "miss"


def test_a_transaction_in_one_shard_leaves_the_reads_of_the_other_alone(shards):
    price("west")
    with transaction.atomic(using="east"):
        Item.objects.using("east").filter(pk=1).update(price=9)
        assert price("east") == 9
        assert outcome_of(lambda: price("west")) == "hit"
    assert price("east") == 9


def test_a_router_sends_each_read_to_its_database_and_so_does_the_cache(shards, settings):
    settings.DATABASE_ROUTERS = [ByKind()]
    for expected in "miss", "hit":
        item = Item.objects.using("east").get(pk=1)
        assert (item._state.db, item.price) == ("east", 1)
        with seen() as found:
            assert item.category.name == "west"
        assert found.outcomes == [expected]
        assert item.category._state.db == "west"
    Category.objects.using("east").update(name="nowhere")
    assert Item.objects.using("east").get(pk=1).category.name == "west"
    Category.objects.using("west").update(name="moved")
    assert Item.objects.using("east").get(pk=1).category.name == "moved"
