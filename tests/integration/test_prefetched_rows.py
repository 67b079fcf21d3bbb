"""A prefetch of a foreign key's targets goes by rows: any set of them, in one round trip."""

import pytest
from django.db import transaction
from django.db.models import Prefetch, QuerySet

from cachepatterns.backends.store import Store
from tests.app.models import Category, Item
from tests.events import seen


def names(items):
    return [item.category.name for item in items]


def plain(items):
    """What Django fetches without a cache, attribute by attribute."""
    found = list(QuerySet(Item).filter(pk__in=[item.pk for item in items]).order_by("pk"))
    return [vars(QuerySet(Category).get(pk=item.category_id)) for item in found]


@pytest.fixture
def items(goods):
    """All items, without their categories."""
    return list(Item.objects.order_by("pk"))


def prefetch(items, *lookups):
    from django.db.models import prefetch_related_objects

    for item in items:
        item._state.fields_cache.clear()
    prefetch_related_objects(items, *(lookups or ("category",)))
    return items


def test_another_set_of_the_same_rows_needs_no_query(items, django_assert_num_queries):
    prefetch(items)
    with seen() as found, django_assert_num_queries(0):
        assert names(prefetch(items[:1])) == ["a"]
        assert names(prefetch(items[1:])) == ["b", "a", "b"]
        assert Category.objects.get(pk=items[0].category_id).name == "a"
    assert set(found.outcomes) == {"hit"}


def test_only_what_is_missing_is_asked_of_the_database(items, django_assert_num_queries):
    prefetch(items[:1])
    with seen() as found, django_assert_num_queries(1) as asked:
        prefetch(items)
    assert sorted(found.outcomes) == ["hit", "miss"]
    assert str(items[0].category_id) not in asked[0]["sql"].partition("WHERE")[2]


def test_all_of_them_take_one_round_trip(items, monkeypatch):
    prefetch(items)
    asked = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda *args: asked.append(args) or read(*args))
    prefetch(items)
    assert len(asked) == 1


def test_they_are_what_django_would_have_made(items):
    prefetch(items)
    made = [dict(vars(item.category)) for item in prefetch(items)]
    for mine, theirs in zip(made, plain(items), strict=True):
        state, expected = mine.pop("_state"), theirs.pop("_state")
        assert (state.db, state.adding) == (expected.db, expected.adding)
        assert mine == theirs


def test_one_changed_row_leaves_the_others_where_they_are(items):
    prefetch(items)
    Category.objects.filter(name="a").update(name="new")
    with seen() as found:
        assert names(prefetch(items)) == ["new", "b", "new", "b"]
    assert sorted(found.outcomes) == ["hit", "miss"]


def test_rows_that_are_gone_are_found_missing(items):
    prefetch(items)
    with transaction.atomic():
        QuerySet(Item).filter(category__name="b").delete()
        QuerySet(Category).filter(name="b").delete()
    prefetch(items[:1])
    prefetch(items[1:2])
    assert items[1]._state.fields_cache.get("category") is None


@pytest.mark.parametrize(
    "queryset",
    [
        Category.objects.filter(name="a"),
        Category.objects.only("name"),
        Category.objects.order_by("name")[:1],
        Category.objects.select_related("parent"),
        Category.objects.uncached(),
        Category.objects.using("sqlite"),
    ],
    ids=["filtered", "only", "sliced", "select_related", "uncached", "other database"],
)
def test_a_queryset_of_ones_own_is_asked_as_it_is(items, queryset, django_db_blocker):
    """Whatever Django answers, errors included."""

    def outcome(queryset):
        try:
            prefetch(items, Prefetch("category", queryset))
        except Exception as error:
            return type(error).__name__
        return [item._state.fields_cache.get("category") and item.category.name for item in items]

    prefetch(items)
    expected = outcome(QuerySet(Category, query=queryset.query.clone(), using=queryset._db))
    assert outcome(queryset.all() if not queryset.query.is_sliced else queryset) == expected
