"""The async forms run through the same doors."""

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation

from tests.app.models import Item
from tests.events import seen


def test_async_reads_hit_and_async_writes_invalidate(goods):
    async_to_sync(_read_and_write)(goods)


async def _read_and_write(goods):
    pk = goods[2][0].pk
    with seen() as found:
        assert (await Item.objects.aget(pk=pk)).price == 0
        assert (await Item.objects.aget(pk=pk)).price == 0
        assert [i.pk async for i in Item.objects.filter(pk=pk)] == [pk]
        assert await Item.objects.filter(pk=pk).acount() == 1
        assert await Item.objects.filter(pk=pk).acount() == 1
    assert found.outcomes == ["miss", "hit", "miss", "miss", "hit"]
    item = await Item.objects.aget(pk=pk)
    item.price = 5
    await item.asave()
    assert (await Item.objects.aget(pk=pk)).price == 5
    await Item.objects.filter(pk=pk).aupdate(price=6)
    assert (await Item.objects.aget(pk=pk)).price == 6


def test_what_blocks_is_refused_in_an_event_loop_also_where_it_would_hit(goods):
    pk = goods[2][0].pk
    reads = [
        lambda: list(Item.objects.filter(pk=pk)),
        lambda: Item.objects.get(pk=pk),
        lambda: Item.objects.in_bulk([pk]),
    ]

    async def in_a_loop():
        for read in reads:
            with pytest.raises(SynchronousOnlyOperation):
                read()

    for read in reads:
        read()
    async_to_sync(in_a_loop)()
