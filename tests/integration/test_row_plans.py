"""What the row cache keeps for a connection goes when the connection goes."""

import gc
import threading
import weakref

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test.utils import CaptureQueriesContext

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
    """`Item` orders by default; Django drops that for `get()` and `in_bulk()`, and so do we."""
    keys = [item.pk for item in goods[2]]
    with CaptureQueriesContext(connections["default"]) as captured:
        Item.objects.get(pk=keys[0])
        Item.objects.in_bulk(keys)
    assert len(captured) == 2
    assert not any("ORDER BY" in query["sql"] for query in captured)
