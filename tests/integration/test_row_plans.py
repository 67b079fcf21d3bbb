"""What the row cache keeps for a connection goes when the connection goes."""

import gc
import threading
import weakref

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from tests.app.models import Item

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


def test_rows_found_by_their_keys_are_not_ordered(goods):
    """`Item` orders by default; Django drops that for `get()` and `in_bulk()`, and so do we."""
    keys = [item.pk for item in goods[2]]
    with CaptureQueriesContext(connections["default"]) as captured:
        Item.objects.get(pk=keys[0])
        Item.objects.in_bulk(keys)
    assert len(captured) == 2
    assert not any("ORDER BY" in query["sql"] for query in captured)
