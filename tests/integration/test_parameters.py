"""Queries that differ only in a parameter's depths are different questions."""

import pytest

from tests.app.models import Everything, Item
from tests.events import outcome_of

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "x" * 100


def test_long_json_values_that_begin_alike_are_told_apart(goods):
    _, _, items = goods
    Item.objects.filter(pk=items[0].pk).update(data={"a": LONG + "1"})
    Item.objects.filter(pk=items[1].pk).update(data={"a": LONG + "2"})
    for item, end in zip(items[:2], "12", strict=True):
        found = Item.objects.filter(data={"a": LONG + end})
        assert [i.pk for i in found] == [item.pk]
    assert outcome_of(lambda: list(Item.objects.filter(data={"a": LONG + "1"}))) == "hit"


def test_long_binary_values_that_begin_alike_are_told_apart(fresh):
    rows = [Everything.objects.create(raw=LONG.encode() + end) for end in (b"1", b"2")]
    for row in rows:
        assert [e.pk for e in Everything.objects.filter(raw=row.raw)] == [row.pk]
    assert outcome_of(lambda: list(Everything.objects.filter(raw=rows[0].raw))) == "hit"
