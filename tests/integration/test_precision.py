"""A write invalidates what it concerns, and nothing else (PostgreSQL tells the rows)."""

import pytest

from cachepatterns import cached, tag
from tests.app.models import Category, Item
from tests.events import outcome_of, seen


def test_saving_one_row_leaves_another_rows_entry_and_another_categorys_list_a_hit(goods):
    a, b, items = goods

    def row_b():
        return Item.objects.get(pk=items[1].pk)

    def list_b():
        return list(Item.objects.filter(category=b))

    def list_a():
        return list(Item.objects.filter(category=a))

    for read in (row_b, list_b, list_a):
        assert outcome_of(read) == "miss"
    items[0].price = 50
    items[0].save()
    assert outcome_of(row_b) == "hit"
    assert outcome_of(list_b) == "hit"
    assert outcome_of(list_a) == "miss"


def test_a_row_that_moves_invalidates_the_lists_of_both_categories_but_no_third(goods):
    a, b, items = goods
    c = Category.objects.create(name="c", slug="c")
    lists = {x.slug: Item.objects.filter(category=x) for x in (a, b, c)}
    for queryset in lists.values():
        list(queryset.all())
    Item.objects.filter(pk=items[0].pk).update(category=b)
    assert {slug: outcome_of(lambda q=q: list(q.all())) for slug, q in lists.items()} == {
        "a": "miss",
        "b": "miss",
        "c": "negative",
    }


def test_old_values_are_the_databases_and_not_the_instances(goods):
    """Another writer moved the row since this instance was loaded."""
    _, b, items = goods
    c = Category.objects.create(name="c", slug="c")
    stale = Item.objects.uncached().get(pk=items[0].pk)
    Item.objects.filter(pk=stale.pk).update(category=b)
    assert [i.pk for i in Item.objects.filter(category=b)] == [items[i].pk for i in (0, 1, 3)]
    stale.category = c
    stale.save()
    # The instance never knew of b; the statement did.
    assert items[0].pk not in [i.pk for i in Item.objects.filter(category=b)]


def test_an_insert_leaves_lists_it_does_not_belong_to_a_hit(goods):
    a, b, _ = goods
    list(Item.objects.filter(category=a)), list(Item.objects.filter(category=b))
    Item.objects.create(name="new", sku="new", category=a, price=1)
    assert outcome_of(lambda: list(Item.objects.filter(category=b))) == "hit"
    assert outcome_of(lambda: list(Item.objects.filter(category=a))) == "miss"


def test_no_coarse_bump_for_what_the_query_classes_write(goods):
    a, _, items = goods
    with seen() as found:
        items[0].save()
        Item.objects.filter(category=a).update(stock=3)
        Item.objects.update(stock=4)
        Item.objects.bulk_create([Item(name="x", sku="x", category=a, price=1)])
        Item.objects.bulk_update(items, ["name"])
    assert len(found.invalidations) == 5
    assert not any(e.coarse for e in found.invalidations)
    assert [e.source for e in found.invalidations] == ["save", "update", "update", "bulk", "bulk"]


@pytest.mark.without_outbox
def test_writes_cost_no_statement_more_than_djangos(goods, django_assert_num_queries):
    _, _, items = goods
    with django_assert_num_queries(1):
        items[0].save()
    with django_assert_num_queries(1):
        assert Item.objects.filter(pk=items[0].pk).update(stock=1) == 1


def test_in_bulk_asks_the_database_once_for_the_missing_only(goods, django_assert_num_queries):
    _, _, items = goods
    pks = [i.pk for i in items]
    Item.objects.get(pk=pks[0])
    with django_assert_num_queries(1) as captured:
        found = Item.objects.in_bulk([*pks, 999_999])
    assert found == {i.pk: i for i in items}
    assert f" {pks[0]}," not in captured[0]["sql"]
    with django_assert_num_queries(0):
        assert Item.objects.in_bulk([*pks, 999_999]) == found


def test_foreign_key_access_is_answered_by_the_row_cache(goods, django_assert_num_queries):
    _, _, items = goods
    Item.objects.get(pk=items[0].pk).category  # noqa: B018
    with django_assert_num_queries(0):
        assert Item.objects.get(pk=items[0].pk).category.slug == "a"


def test_a_missing_row_is_remembered_until_it_is_created(goods):
    with pytest.raises(Item.DoesNotExist):
        Item.objects.get(pk=777)
    with seen() as found, pytest.raises(Item.DoesNotExist):
        Item.objects.get(pk=777)
    assert found.outcomes == ["negative"]
    Item.objects.create(pk=777, name="x", sku="x", category=goods[0], price=1)
    assert Item.objects.get(pk=777).name == "x"


def test_rules_see_both_sides_and_invalidate_named_tags(goods):
    a, b, items = goods

    def catalog(category):
        return outcome_of(
            lambda: list(
                cached(Category.objects.filter(slug="a"), tags=[tag("catalog", category.pk)])
            )
        )

    c = Category.objects.create(name="c", slug="c")
    for category in (a, b, c):
        catalog(category)
    items[0].price = 3
    items[0].save()
    assert [catalog(x) for x in (a, b, c)] == ["hit", "hit", "hit"]
    items[0].category = b
    items[0].save()
    assert [catalog(x) for x in (a, b, c)] == ["miss", "miss", "hit"]


def test_a_write_that_nobody_can_tell_invalidates_the_whole_family(goods, db_cursor):
    a, _, _ = goods
    query = Category.objects.filter(slug="a")
    list(cached(query, tags=[tag("catalog", a.pk)]))
    db_cursor.execute("UPDATE app_item SET price = price + 1")
    assert outcome_of(lambda: list(cached(query, tags=[tag("catalog", a.pk)]))) == "miss"


def test_a_prefetch_of_foreign_keys_rests_on_the_rows_it_fetched(goods):
    a, b, items = goods

    def names():
        found = Item.objects.filter(pk=items[0].pk).prefetch_related("category")
        return [item.category.name for item in found]

    names()
    with seen() as found:
        names()
    assert found.outcomes == ["hit", "hit"]
    Category.objects.filter(pk=b.pk).update(name="other")
    with seen() as found:
        names()
    assert found.outcomes == ["hit", "hit"]
    Category.objects.filter(pk=a.pk).update(name="new")
    assert names() == ["new"]
