"""Kinds of reads that the differential test does not ask: async forms, deferred loading."""

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Count

from cachepatterns import uncached
from tests.app.models import Category, Item
from tests.differential.freezing import freeze
from tests.events import seen


async def collected(iterator):
    return [found async for found in iterator]


ASYNC = {
    "aget": lambda q: q.aget(pk=q.first_pk),
    "afirst": lambda q: q.afirst(),
    "alast": lambda q: q.alast(),
    "aearliest": lambda q: q.aearliest("price"),
    "alatest": lambda q: q.alatest("price"),
    "acount": lambda q: q.acount(),
    "acount of a slice": lambda q: q[:2].acount(),
    "aexists": lambda q: q.aexists(),
    "acontains": lambda q: q.acontains(Item(pk=q.first_pk)),
    "aaggregate": lambda q: q.aaggregate(n=Count("pk")),
    "ain_bulk": lambda q: q.ain_bulk([q.first_pk]),
    "async for": lambda q: collected(q.all()),
    "async for values": lambda q: collected(q.values_list("pk", flat=True)),
}


@pytest.mark.parametrize("name", ASYNC)
def test_the_async_forms_are_cached_and_fresh(goods, name):
    pk = goods[2][0].pk

    def ask():
        queryset = Item.objects.order_by("pk")
        queryset.first_pk = pk

        async def asked():
            return await ASYNC[name](queryset)

        return freeze(async_to_sync(asked)())

    for write in (lambda: None, lambda: Item.objects.update(price=7), goods[2][0].delete):
        write()
        try:
            with uncached():
                truth = ask()
        except Item.DoesNotExist:
            return
        assert ask() == truth
        with seen() as found:
            assert ask() == truth
        assert {*found.outcomes} <= {"hit", "negative"}


def test_a_deferred_field_is_loaded_through_the_cache_and_fresh(goods, django_assert_num_queries):
    def name():
        return Category.objects.defer("name").get(slug="a").name

    assert name() == "a"
    with django_assert_num_queries(0):
        assert name() == "a"
    Category.objects.filter(slug="a").update(name="b")
    assert name() == "b"


def test_a_refresh_is_what_stands_in_the_database(goods):
    item = goods[2][0]
    Item.objects.get(pk=item.pk)
    Item.objects.filter(pk=item.pk).update(price=7)
    item.refresh_from_db()
    assert item.price == 7
    item.refresh_from_db(fields=["name"])
    with seen() as found:
        item.refresh_from_db(fields=["name"])
    assert found.outcomes == ["hit"]


def test_none_asks_nobody(goods, django_assert_num_queries):
    with seen() as found, django_assert_num_queries(0):
        assert list(Item.objects.none()) == []
        assert Item.objects.none().count() == 0
        assert Item.objects.filter(pk__in=[]).exists() is False
    assert found.reads == []
