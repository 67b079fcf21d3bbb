"""The async forms run through the same doors."""

from asgiref.sync import async_to_sync

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
