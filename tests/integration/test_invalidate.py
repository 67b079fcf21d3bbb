"""Explicit invalidation, for what no layer can see."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from cachepatterns import cached, invalidate, tag
from cachepatterns.exceptions import CachePatternsError
from tests.app.models import Category, Item
from tests.events import outcome_of, seen


def unseen(sql):
    """Writes by the driver's own connection, which no layer of ours can see."""
    connection.connection.execute(sql)


@pytest.mark.parametrize("kind", ["instance", "queryset", "model"])
def test_what_is_invalidated_is_read_anew_also_in_the_lists_it_stands_in(goods, kind):
    a, b, items = goods

    def list_of(category):
        return [i.price for i in Item.objects.filter(category=category)]

    list_of(a), list_of(b), Item.objects.get(pk=items[0].pk)
    unseen(f"UPDATE app_item SET price = 8 WHERE id = {items[0].pk}")
    assert list_of(a) == [0, 2]  # nobody could know
    target = {
        "instance": items[0],
        "queryset": Item.objects.filter(pk=items[0].pk),
        "model": Item,
    }[kind]
    assert invalidate(target) > 0
    assert list_of(a) == [8, 2]
    assert Item.objects.get(pk=items[0].pk).price == 8
    assert outcome_of(lambda: list_of(b)) == ("miss" if kind == "model" else "hit")


def test_a_named_tag_invalidates_its_own_entries_only(goods):
    query = Category.objects.filter(slug="a")

    def read(number):
        return outcome_of(lambda: list(cached(query, tags=[tag("page", number)])))

    read(1), read(2)
    invalidate(tag("page", 1))
    assert (read(1), read(2)) == ("miss", "hit")
    invalidate(tag("page"))
    assert (read(1), read(2)) == ("miss", "miss")


def test_inside_a_transaction_it_happens_after_the_commit(goods):
    with seen() as found, transaction.atomic():
        invalidate(goods[2][0])
        assert found.invalidations == []
    assert len(found.invalidations) == 1


def test_what_is_not_registered_or_no_target_is_refused(goods):
    with pytest.raises(CachePatternsError, match="ContentType is not registered"):
        invalidate(ContentType)
    with pytest.raises(TypeError, match="takes models, querysets and tags"):
        invalidate(5)
