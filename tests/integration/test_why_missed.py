"""A miss tells whether a write or nothing at all is to blame."""

import pytest

from tests.app.models import Item
from tests.events import seen

pytestmark = pytest.mark.without_outbox


def outdated(read) -> list[int]:
    with seen() as found:
        read()
    return [event.outdated for event in found.reads if event.outcome == "miss"]


def test_the_first_read_of_all_is_no_writes_fault(goods):
    assert outdated(lambda: list(Item.objects.filter(category=goods[0]))) == [0]


def test_a_list_that_a_write_has_outdated_says_so(goods):
    def read():
        return list(Item.objects.filter(category=goods[0]))

    read()
    goods[2][0].save()
    assert outdated(read) == [1]


def test_a_row_that_a_write_has_outdated_says_so(goods):
    def read():
        return Item.objects.get(pk=goods[2][0].pk)

    read()
    goods[2][0].save()
    assert outdated(read) == [1]


def test_of_many_rows_it_is_counted_how_many(goods):
    """Two were cached, one of them was written since, two never were there: one is outdated."""
    items = goods[2]
    Item.objects.in_bulk([items[0].pk, items[1].pk])
    items[0].save()
    assert outdated(lambda: Item.objects.in_bulk([item.pk for item in items])) == [1]
