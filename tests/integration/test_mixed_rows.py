"""Many rows of which the cache holds some: together they are what the database had at one moment,
as those of Django's one statement are."""

from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.test.utils import CaptureQueriesContext
from redis import ResponseError

from cachepatterns.backends.errors import RedisError
from cachepatterns.backends.store import Store, current_store
from cachepatterns.read.floods import floods
from tests.app.models import Category, Item
from tests.events import seen
from tests.integration.test_transactions import in_thread
from tests.policies import policy_of
from tests.soft import clock, settled, tiers  # noqa: F401


@pytest.fixture
def two(goods):
    """The keys of two items that have 1 and 0 to spend; the first one is cached."""
    first, second = sorted(item.pk for item in goods[2][:2])
    QuerySet(Item).filter(pk=first).update(price=1)
    QuerySet(Item).filter(pk=second).update(price=0)
    Item.objects.get(pk=first)
    return first, second


def spend(two):
    """Move what the first one has to the second one, and back, as another process does."""

    def moved():
        with transaction.atomic():
            first, second = QuerySet(Item).filter(pk__in=two).order_by("pk")
            first.price, second.price = second.price, first.price
            first.save()
            second.save()

    in_thread(moved)


@contextmanager
def once(when, action):
    """`action()` by the time that a query is sent, or has been answered."""
    done = []

    def around(execute, sql, params, many, context):
        if done:
            return execute(sql, params, many, context)
        done.append(sql)
        if when == "before":
            action()
        answer = execute(sql, params, many, context)
        if when == "after":
            action()
        return answer

    with connection.execute_wrapper(around):
        yield done


def total(found):
    return sum(item.price for item in found)


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_seen_twice_that_moves_between_what_is_found_and_what_is_loaded(two, when):
    """The interleaving: the first is found with what it has; another transaction moves that to
    the second, and commits; the second is loaded, and has it too."""
    with once(when, lambda: spend(two)) as asked, seen() as found:
        assert total(Item.objects.in_bulk(two).values()) == 1
    assert asked
    assert found.outcomes == ["miss", "miss"]
    assert found.reasons[-1] == "writer registered"


@pytest.mark.parametrize("when", ["before", "after"])
def test_nor_by_a_prefetch(two, goods, when):
    one, other = goods[0], goods[1]
    items = list(Item.objects.filter(pk__in=two).order_by("pk"))
    assert {item.category_id for item in items} == {one.pk, other.pk}
    Category.objects.get(pk=one.pk)

    def swapped():
        with transaction.atomic():
            Category.objects.filter(pk=one.pk).update(name="moving")  # it was "a"
            Category.objects.filter(pk=other.pk).update(name="a")

    with once(when, lambda: in_thread(swapped)):
        prefetch_related_objects(items, "category")
    assert sorted(item.category.name for item in items) in (["a", "b"], ["a", "moving"])


def test_what_is_left_alone_takes_one_query_and_one_look_more(two, monkeypatch):
    looks = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda *args: looks.append(args[2]) or read(*args))
    with once("before", lambda: None), seen() as found:
        assert total(Item.objects.in_bulk(two).values()) == 1
    assert sorted(found.outcomes) == ["hit", "miss"]
    assert len(looks) == 2
    looks.clear()
    with seen() as found:
        assert total(Item.objects.in_bulk(two).values()) == 1
    assert found.outcomes == ["hit"]
    assert len(looks) == 1


def test_only_rows_that_were_found_are_looked_at_again(two, monkeypatch):
    looks = []
    read = Store.read
    Item.objects.filter(pk=two[0]).update(price=1)  # nothing is cached any more
    monkeypatch.setattr(Store, "read", lambda *args: looks.append(args[2]) or read(*args))
    assert total(Item.objects.in_bulk(two).values()) == 1
    assert len(looks) == 1


def test_what_was_written_without_touching_them_costs_nothing(two, goods):
    another = next(item for item in goods[2] if item.pk not in two)

    def written():
        another.price = 77
        another.save()

    with once("before", lambda: in_thread(written)), seen() as found:
        assert total(Item.objects.in_bulk(two).values()) == 1
    assert sorted(found.outcomes) == ["hit", "miss"]


def test_a_row_known_to_be_absent_may_have_come(two):
    """Found absent, and loaded is what it was renamed from: two rows where one is, or none."""
    absent = max(two) + 10_000
    assert not Item.objects.filter(pk=absent).uncached().exists()
    assert Item.objects.in_bulk([absent]) == {}

    def renamed():
        with transaction.atomic():
            Item.objects.filter(pk=two[1]).update(id=absent)

    with once("before", lambda: in_thread(renamed)):
        assert list(Item.objects.in_bulk([absent, two[1]])) == [absent]


def test_a_cache_that_fails_meanwhile_leaves_it_to_the_database(two, monkeypatch):
    """Then nobody can say whether what was found still stands."""
    backend = current_store().backend
    original = backend.read

    def broken(*args):
        raise RedisError(ResponseError("NOPERM no more"))

    def failing():
        monkeypatch.setattr(backend, "read", broken)

    with once("before", failing), seen() as found:
        assert total(Item.objects.in_bulk(two).values()) == 1
    monkeypatch.setattr(backend, "read", original)
    assert found.outcomes == ["miss", "miss"]
    assert found.errors


def test_in_a_flood_too(two, monkeypatch):
    monkeypatch.setattr(floods, "is_on", lambda label: True)
    absent = max(two) + 10_000
    assert Item.objects.get(pk=two[0]).price == 1
    with once("before", lambda: spend(two)):
        assert total(Item.objects.in_bulk([*two, absent]).values()) == 1


def test_eventual_models_too_once_it_was_told(goods):
    """Their writers tell after their COMMIT: what was told by then is looked at."""
    with policy_of(Item, consistency="eventual"):
        first, second = sorted(item.pk for item in goods[2][:2])
        QuerySet(Item).filter(pk=first).update(price=1)
        QuerySet(Item).filter(pk=second).update(price=0)
        Item.objects.get(pk=first)
        with once("before", lambda: spend((first, second))):
            assert total(Item.objects.in_bulk([first, second]).values()) == 1


@pytest.mark.parametrize("is_coarse", [False, True])
def test_what_is_served_though_it_is_invalidated_stays_so(two, settings, clock, is_coarse):  # noqa: F811
    """Its stamps are gone, and come back when it is refreshed: that is no writer's doing, and the
    policy is there to spare the database."""
    first, _second = two
    tiers(settings, stale_for=600)
    with policy_of(Item, consistency="eventual", serve_invalidated=30.0):
        Item.objects.get(pk=first)
        if is_coarse:
            Item.objects.update(price=9)
        else:
            Item.objects.filter(pk=first).update(price=9)
        with CaptureQueriesContext(connection) as queries, seen() as found:
            Item.objects.in_bulk(two)
        settled()
    assert len(queries) == 1
    told = [(read.outcome, read.reason) for read in found.reads]
    assert told == [("miss", ""), ("stale", "invalidated")]
