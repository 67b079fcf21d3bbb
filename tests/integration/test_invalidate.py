"""Explicit invalidation, for what no layer can see."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from cachepatterns import (
    ainvalidate,
    cached,
    explicit,
    invalidate,
    invalidate_on_commit,
    invalidated,
    tag,
)
from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import CachePatternsError
from tests.app.models import Category, Item
from tests.events import outcome_of, seen
from tests.integration.test_transactions import in_thread


def unseen(sql):
    """Writes by the driver's own connection, which no layer of ours can see."""
    connection.connection.execute(sql)


@pytest.mark.parametrize("kind", ["instance", "queryset", "model", "label"])
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
        "label": "app.Item",
    }[kind]
    assert invalidate(target) > 0
    assert list_of(a) == [8, 2]
    assert Item.objects.get(pk=items[0].pk).price == 8
    assert outcome_of(lambda: list_of(b)) == (
        "hit" if kind in ("instance", "queryset") else "miss"
    )


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
    for text in ("homepage", "app.Nothing", "item", ""):
        with pytest.raises(ValueError, match="neither a tag"):
            invalidate(text)


def test_from_a_coroutine(goods):
    pk = goods[2][0].pk
    assert Item.objects.get(pk=pk).price == 0
    unseen(f"UPDATE app_item SET price = 8 WHERE id = {pk}")

    async def story():
        await ainvalidate(goods[2][0])
        return (await Item.objects.aget(pk=pk)).price

    assert async_to_sync(story)() == 8


# -- on commit ------------------------------------------------------------------------------


def listed(category):
    return [item.pk for item in Item.objects.filter(category=category)]


@pytest.mark.parametrize("kind", ["instance", "queryset"])
def test_on_commit_the_rows_are_looked_at_again_as_they_are_committed(goods, kind):
    """The row moves, unseen, after it was invalidated: nobody would know where it has gone."""
    a, b, items = goods
    listed(a), listed(b)
    with transaction.atomic():
        invalidate_on_commit(
            items[0] if kind == "instance" else Item.objects.filter(pk=items[0].pk)
        )
        unseen(f"UPDATE app_item SET category_id = {b.pk} WHERE id = {items[0].pk}")
    assert items[0].pk not in listed(a)
    assert items[0].pk in listed(b)


def test_outside_of_a_transaction_it_is_invalidate(goods):
    pk = goods[2][0].pk
    Item.objects.get(pk=pk)
    with seen() as found:
        invalidate_on_commit(goods[2][0], tag("page"))
    assert len(found.invalidations) == 1
    assert outcome_of(lambda: Item.objects.get(pk=pk)) == "miss"


# -- patterns -------------------------------------------------------------------------------


def page(number):
    return outcome_of(
        lambda: list(cached(Category.objects.filter(slug="a"), tags=[tag("page", number)]))
    )


def test_a_pattern_invalidates_the_tags_that_match_and_no_others(goods):
    pk = goods[2][0].pk
    for _ in range(2):
        page(1), page(21), Item.objects.get(pk=pk)
    assert invalidate(pattern="#page:2*", source="by hand") == 1
    assert (page(1), page(21)) == ("hit", "miss")
    with seen() as found:
        assert invalidate(pattern=f"app.item@*:pk={pk}") == 1
    assert outcome_of(lambda: Item.objects.get(pk=pk)) == "miss"
    assert page(1) == "hit"
    assert [event.labels for event in found.invalidations] == [("app.item",)]
    assert invalidate(pattern="nothing like it") == 0


def test_a_load_begun_before_a_pattern_is_not_served_after_it(goods, monkeypatch):
    """The interleaving: a reader has loaded, the pattern is looked for, the reader stores."""
    pk, backend = goods[2][0].pk, current_store().backend
    store = backend.store

    def late(*args):
        unseen(f"UPDATE app_item SET price = 8 WHERE id = {pk}")
        assert invalidate(pattern="app.item@*:pk=*") >= 1
        monkeypatch.setattr(backend, "store", store)
        return store(*args)

    monkeypatch.setattr(backend, "store", late)
    assert Item.objects.get(pk=pk).price == 0
    assert Item.objects.get(pk=pk).price == 8


def test_inside_a_transaction_a_pattern_is_looked_for_after_the_commit(goods):
    page(1)
    with transaction.atomic():
        assert invalidate(pattern="#page:*") == 0
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert in_thread(lambda: page(1)) == "hit"
    assert page(1) == "miss"
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(CachePatternsError, match="after it"):
            invalidate(pattern="#page:*")
        cursor.execute("ROLLBACK")


def test_a_search_that_is_cut_short_says_so(goods, monkeypatch):
    client = current_store().backend._client()
    client.mset({f"others:{i}": "x" for i in range(3000)})
    monkeypatch.setattr(explicit, "PATTERN_LOOKS_AT", 1)
    with pytest.raises(CachePatternsError, match="more than 1 keys"):
        invalidate(pattern="#page:*")


def test_what_is_no_pattern_is_refused(goods):
    for wrong in ("", 5):
        with pytest.raises(TypeError, match="glob of tags"):
            invalidate(pattern=wrong)


# -- the signal -----------------------------------------------------------------------------


@pytest.fixture
def told():
    """What the public signal told."""
    found = []

    def receiver(sender, **kwargs):
        kwargs.pop("signal")
        found.append(kwargs)

    invalidated.connect(receiver)
    yield found
    invalidated.disconnect(receiver)


def test_the_signal_is_sent_after_the_commit_and_tells_what_was_bumped(goods, told):
    with transaction.atomic():
        Item.objects.filter(pk=goods[2][0].pk).update(price=5)
        assert told == []
    (one,) = told
    assert one["labels"] == {"app.item"}
    assert any(name.endswith(f":pk={goods[2][0].pk}") for name in one["tags"])
    assert (one["source"], one["using"], one["delivered"]) == ("update", "default", True)


def test_nothing_is_told_of_what_rolls_back(goods, told):
    with transaction.atomic():
        Item.objects.filter(pk=goods[2][0].pk).update(price=5)
        transaction.set_rollback(True)
    assert told == []


def test_a_receiver_that_raises_disturbs_nobody(goods, told):
    def broken(**kwargs):
        raise RuntimeError("a receiver's own")

    invalidated.connect(broken)
    try:
        Item.objects.filter(pk=goods[2][0].pk).update(price=5)
    finally:
        invalidated.disconnect(broken)
    assert Item.objects.get(pk=goods[2][0].pk).price == 5
    assert len(told) == 1
