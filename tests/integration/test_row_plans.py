"""What the row cache keeps for a connection goes when the connection goes."""

import gc
import threading
import weakref

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.db.models import CharField, F, QuerySet
from django.db.models.functions import Lower
from django.db.models.lookups import Exact
from django.test.utils import CaptureQueriesContext, register_lookup

from cachepatterns.read.plans import _ATTRIBUTE as PLANS
from tests.app.models import Item, Note
from tests.events import seen
from tests.policies import policy_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thread_that_ended_leaves_no_connection_behind(goods):
    pk = goods[2][0].pk
    left = []

    def read():
        try:
            Item.objects.get(pk=pk)
            Item.objects.in_bulk([pk])
            left.append(weakref.ref(connections["default"]))
        finally:
            connections.close_all()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    gc.collect()
    assert [ref() for ref in left] == [None]


@pytest.mark.parametrize(
    "read",
    [
        lambda item: Item.objects.get(pk=item.pk),
        lambda item: Item.objects.get(sku=item.sku),
        lambda item: Item.objects.in_bulk([item.pk])[item.pk],
        lambda item: Item.objects.filter(pk=item.pk).first(),
        lambda item: Item.objects.filter(sku=item.sku)[0],
        lambda item: Note.objects.get(item=item).item,
        lambda item: Note.objects.prefetch_related("item").get(item=item).item,
        lambda item: Note.objects.select_related("item").get(item=item).item,
        lambda item: item.category.items.get(pk=item.pk),
        lambda item: async_to_sync(awaited)(item),
        lambda item: reloaded(item),
    ],
)
def test_rows_of_what_is_never_cached_come_from_the_database(goods, read):
    item = goods[2][0]
    Note.objects.create(item=item, text="of a cached model")
    with policy_of(Item, tier="never"):
        for _ in range(2):
            with seen() as found:
                assert read(item) == item
            assert {e.outcome for e in found.reads if e.label == "app.item"} <= {"bypass"}


async def awaited(item):
    return await Item.objects.aget(pk=item.pk)


def reloaded(item):
    item.refresh_from_db()
    return item


def test_rows_found_by_their_keys_are_not_ordered(goods):
    """`Item` orders by default; Django drops that for `get()`. Of `in_bulk()` Python does it."""
    keys = [item.pk for item in goods[2]]
    with CaptureQueriesContext(connections["default"]) as captured:
        Item.objects.get(pk=keys[0])
        Item.objects.in_bulk(keys)
    assert len(captured) == 2
    assert not any("ORDER BY" in query["sql"] for query in captured)


@pytest.mark.parametrize(
    "ordering",
    [
        ["pk"],
        ["-pk"],
        ("stock", "-id"),
        ["-active", "stock", "-pk"],
        ["name"],
        ["-category", "pk"],
        ["-category__name", "-pk"],
        ["made", "-pk"],
        ["rating", "pk"],
        [F("stock").desc(), "pk"],
        [Lower("name").desc()],
    ],
)
@pytest.mark.parametrize("field", ["pk", "sku"])
def test_in_bulk_keeps_the_order_of_the_model(goods, monkeypatch, request, ordering, field):
    request.addfinalizer(lambda: vars(connections["default"]).pop(PLANS, None))
    for stock, item in enumerate(goods[2]):
        item.stock, item.active, item.name = stock // 2, stock % 3 == 0, "aBCd"[stock]
        item.save()
    monkeypatch.setattr(Item._meta, "ordering", ordering)
    vars(connections["default"]).pop(PLANS, None)  # of another order
    asked = [getattr(goods[2][place], field) for place in (2, 0, 3, 1)]

    def same_as_django():
        truth = QuerySet(Item).in_bulk(asked, field_name=field)
        return list(Item.objects.in_bulk(asked, field_name=field).items()) == list(truth.items())

    assert [same_as_django() for _ in range(3)] == [True] * 3
    Item.objects.filter(pk=goods[2][0].pk).update(stock=7)  # one is missing, the rest are found
    assert [same_as_django() for _ in range(3)] == [True] * 3


def test_in_bulk_keeps_the_order_of_its_queryset(goods):
    keys = [item.pk for item in goods[2]]
    for _ in range(3):
        assert list(Item.objects.reverse().in_bulk(keys)) == keys[::-1]
        assert list(Item.objects.uncached().cached().reverse().in_bulk(keys)) == keys[::-1]
        assert list(Item.objects.extra(order_by=["-sku"]).in_bulk(keys)) == keys[::-1]


class Name(str):
    """A text that is more than one."""


def test_in_bulk_s_keys_are_the_rows_own(goods):
    for _ in range(2):  # from the database, and from the cache
        found = Item.objects.in_bulk([Name("s1"), Name("s0")], field_name="sku")
        assert list(map(type, found)) == [str, str]


def test_in_bulk_of_an_order_that_python_has_too_is_cached_row_by_row(goods, monkeypatch):
    monkeypatch.setattr(Item._meta, "ordering", ["-stock", "pk"])
    keys = [item.pk for item in goods[2]]
    Item.objects.in_bulk(keys[:2])
    Item.objects.in_bulk(keys[2:])
    with seen() as found:
        Item.objects.in_bulk(keys)
    assert found.outcomes == ["hit"]


class Other(Exact):
    """Means something else."""

    def as_sql(self, compiler, connection):
        text, parameters = super().as_sql(compiler, connection)
        return f"NOT ({text})", parameters


@pytest.mark.parametrize(
    "registers", [lambda: CharField, lambda: Item._meta.get_field("sku")], ids=["class", "field"]
)
def test_rows_are_compared_by_the_lookup_that_is_registered(goods, request, registers):
    """Also where it was put in the place of Django's late."""
    field = Item._meta.get_field("sku")
    request.addfinalizer(lambda: vars(field).pop("instance_lookups", None))
    for item in goods[2][2:]:
        item.delete()
    for _ in range(3):
        assert Item.objects.get(sku="s0").sku == "s0"
    with register_lookup(registers(), Other, lookup_name="exact"):
        for _ in range(3):
            assert Item.objects.get(sku="s0").sku == QuerySet(Item).get(sku="s0").sku == "s1"
    assert Item.objects.get(sku="s0").sku == "s0"


def test_in_bulk_of_an_order_that_the_database_alone_has_is_cached_row_by_row_without_it(
    goods, monkeypatch
):
    monkeypatch.setattr(Item._meta, "ordering", ["name"])
    keys = [item.pk for item in goods[2]]
    Item.objects.order_by()  # the first time, Django carries it out
    Item.objects.order_by().in_bulk(keys[:2])
    Item.objects.order_by().in_bulk(keys[2:])
    with seen() as found:
        assert set(Item.objects.order_by().in_bulk(keys)) == set(keys)
        assert set(Item.objects.order_by("stock").in_bulk(keys)) == set(keys)
    assert found.outcomes == ["hit", "miss"]
