"""Aggregates that Django runs over a subquery are cached like any other question."""

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from django.db.models import Count, Max, Min, Sum
from django.db.models.sql.compiler import SQLAggregateCompiler

from tests.app.models import Item
from tests.events import outcome_of, seen

OVER_A_SUBQUERY = {
    "count of a slice": lambda q: q[:2].count(),
    "count of distinct rows": lambda q: q.distinct().count(),
    "count of groups": lambda q: q.values("category").annotate(n=Count("pk")).count(),
    "count of a union": lambda q: q.union(q.filter(stock__gt=5)).count(),
    "aggregate of a slice": lambda q: q[:2].aggregate(Sum("stock")),
    "aggregate of annotated rows": lambda q: q.annotate(n=Count("labels")).aggregate(Max("n")),
}


@pytest.mark.parametrize("name", OVER_A_SUBQUERY)
def test_it_is_answered_by_the_cache_and_fresh_after_a_write(
    goods, name, django_assert_num_queries
):
    a, _, items = goods

    def ask():
        return OVER_A_SUBQUERY[name](Item.objects.filter(category=a).order_by("pk"))

    first = ask()
    with django_assert_num_queries(0):
        assert ask() == first
    items[0].labels.create(name="new")
    Item.objects.filter(pk=items[0].pk).update(stock=7)
    Item.objects.create(name="x", sku="x", category=a, price=1)
    with django_assert_num_queries(1):
        second = ask()
    assert second == OVER_A_SUBQUERY[name](
        Item.objects.uncached().filter(category=a).order_by("pk")
    )


def test_it_rests_on_the_rows_that_its_conditions_name(goods):
    a, _, items = goods

    def count():
        return Item.objects.filter(category=a).distinct().count()

    assert count() == 2
    items[1].save()
    assert outcome_of(count) == "hit"
    items[1].category = a
    items[1].save()
    assert count() == 3


def test_each_aggregate_of_the_same_rows_is_a_question_of_its_own(goods):
    """All are asked by one plan, of which only what is aggregated tells them apart."""
    a, _, _items = goods
    expected = {
        (Min("price"),): {"price__min": 0},
        (Max("price"),): {"price__max": 2},
        (Count("price"),): {"price__count": 2},
        (Max("stock"),): {"stock__max": 0},
        (Min("price"), Max("price")): {"price__min": 0, "price__max": 2},
        (Max("price"), Min("price")): {"price__max": 2, "price__min": 0},
    }
    with seen() as found:
        for _ in range(2):
            for asked, answer in expected.items():
                rows = Item.objects.filter(category=a)
                assert rows.aggregate(*asked) == answer
            assert Item.objects.filter(category=a).aggregate(x=Min("price")) == {"x": 0}
            assert Item.objects.filter(category=a).aggregate(x=Max("price")) == {"x": 2}
    assert found.outcomes == ["miss"] * 8 + ["hit"] * 8


def test_the_connection_hands_out_djangos_own_compilers_again_whatever_happened(goods):
    Item.objects.all()[:2].count()
    Item.objects.count()
    before = vars(connection.ops).get("compiler")
    with pytest.raises(FieldError):
        Item.objects.all()[:2].aggregate(Sum("nothing"))
    assert connection.ops.compiler("SQLAggregateCompiler") is SQLAggregateCompiler
    assert vars(connection.ops).get("compiler") is before


def test_uncached_says_so_of_a_subquery_too(goods):
    with seen() as found:
        assert Item.objects.uncached()[:2].count() == 2
    assert [(e.outcome, e.reason, e.pattern) for e in found.reads] == [
        ("bypass", "uncached()", "count")
    ]
