"""Kept texts: what is missing is asked for by the very statement that Django would compile."""

import random
from decimal import Decimal

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import Avg, Count, Max, Min, Sum, lookups
from django.test.utils import CaptureQueriesContext, isolate_apps

from cachepatterns.read.plans import _ATTRIBUTE as PLANS
from cachepatterns.read.plans import plain
from cachepatterns.read.rowplans import _PLANS as ROW_PLANS
from cachepatterns.read.shape import shape_of
from cachepatterns.read.texts import MAX_TEXTS, Kept, text_of
from tests.app.models import Category, Item
from tests.integration.test_shapes import questions


@pytest.fixture
def nothing_known():
    """No plans, whatever other tests have asked."""
    connection = connections["default"]
    for name in (PLANS, ROW_PLANS):
        vars(connection).pop(name, None)


def other_values(values, rng):
    """Values of the same kinds."""
    changed = {
        int: lambda value: value + rng.randint(0, 9),
        str: lambda value: value + rng.choice(["", "%", "_", "\\", "'x"]),
        float: lambda value: value + 0.5,
        Decimal: lambda value: value + rng.randint(0, 9),
    }
    return tuple(changed.get(type(value), lambda same: same)(value) for value in values)


def with_values(query, values):
    """`query`, a plain one, of other values."""
    clone, given = query.clone(), list(values)

    def change(node):
        for number, child in enumerate(node.children):
            if isinstance(child, models.lookups.Lookup):
                node.children[number] = changed(child)
            else:
                change(child)

    def changed(lookup):
        rhs = lookup.rhs
        if isinstance(rhs, bool):
            return lookup
        is_list = isinstance(rhs, (list, tuple))
        rhs = [given.pop(0) for _ in rhs] if is_list else given.pop(0)
        found = object.__new__(type(lookup))
        found.__dict__.update(vars(lookup), rhs=rhs)
        return found

    clone.where = clone.where.clone()
    change(clone.where)
    return clone


def compiled(query, using):
    try:
        sql, params = query.get_compiler(using).as_sql()
    except EmptyResultSet:
        return None
    return sql, [(type(each), each) for each in params]


@pytest.mark.django_db(databases=["default", "sqlite"])
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_kept_text_with_other_values_is_what_django_compiles(using):
    rng, compared = random.Random(5), 0
    for queryset in questions(1000, seed=8):
        query = plain(queryset.query)
        shaped = shape_of(queryset.query)
        if shaped is None:
            continue
        text = text_of(query, shaped[1], using)
        assert text is not None
        sliced = "low_mark" in vars(query) or "high_mark" in vars(query)
        values = shaped[1] if sliced else other_values(shaped[1], rng)
        other = query if sliced else with_values(query, values)
        found, expected = text.statement(values), compiled(other, using)
        if found is not None:
            compared += 1
            assert (found.sql, [(type(each), each) for each in found.params]) == expected
    assert compared > 700


@pytest.mark.parametrize("asked", [slice(2, 7), slice(None, 5), slice(3, None), slice(0, 9)])
def test_a_slice_with_other_bounds_is_asked_for_by_the_same_text(asked, db):
    first = Item.objects.filter(stock__gt=1).order_by("pk")[4:6]
    if asked.start is None:
        first = Item.objects.filter(stock__gt=1).order_by("pk")[:6]
    elif asked.stop is None:
        first = Item.objects.filter(stock__gt=1).order_by("pk")[4:]
    other = Item.objects.filter(stock__gt=8).order_by("pk")[asked]
    text = text_of(plain(first.query), shape_of(first.query)[1], "default")
    found = text.statement(shape_of(other.query)[1])
    assert (found.sql, [(type(p), p) for p in found.params]) == compiled(
        plain(other.query), "default"
    )


NUMBERS = {
    "count": lambda q: q.count(),
    "exists": lambda q: q.exists(),
    "least": lambda q: q.aggregate(Min("price")),
    "most": lambda q: q.aggregate(Max("price")),
    "several": lambda q: q.aggregate(Avg("rating"), all=Sum("price"), n=Count("stock")),
}
ASKED = [
    lambda n: Item.objects.filter(stock__lt=n),
    lambda n: Item.objects.exclude(stock=n),
    lambda n: Item.objects.filter(labels__name=f"l{n % 2}").distinct(),
    lambda n: Item.objects.filter(category__name__contains=str(n % 2)),
    lambda n: Item.objects.filter(pk__gt=n).order_by("name")[:3],
]


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_numbers_are_asked_for_by_kept_texts_too(goods, using):
    """Several of one shape by turns, so that a text of one would be found for the other."""
    for asked in ASKED:
        for n in range(4):
            queryset = asked(n).using(using)
            for ask in NUMBERS.values():
                expected = ask(models.QuerySet(Item, query=plain(queryset.query), using=using))
                assert ask(queryset) == expected
                assert kinds(ask(queryset)) == kinds(expected)


def kinds(found):
    return [type(value) for value in (found.values() if isinstance(found, dict) else [found])]


@pytest.mark.django_db(transaction=True)
def test_from_its_second_miss_on_a_number_is_not_compiled_any_more(
    goods, nothing_known, monkeypatch
):
    found = []
    kept = Kept.statement
    monkeypatch.setattr(
        Kept, "statement", lambda self, *args: found.append(kept(self, *args)) or found[-1]
    )
    for n in range(4):
        Item.objects.filter(stock__lt=n).count()
        Item.objects.filter(stock__lt=n).aggregate(Max("price"))
        Item.objects.filter(stock__lt=n).aggregate(Min("price"))
    assert [each is not None for each in found] == [False] * 3 + [True] * 9


def test_of_too_many_texts_the_first_are_kept():
    kept = Kept()
    for number in range(MAX_TEXTS + 5):
        assert kept.statement((), lambda: None, number) is None
    assert len(kept._known) == MAX_TEXTS


def test_what_can_be_true_of_no_row_is_left_to_django(db):
    query = plain(Item.objects.filter(stock=1).query)
    text = text_of(query, (1,), "default")
    assert text.statement((2,)).params == (2,)
    assert text.statement((2**70,)) is None
    assert [list(Item.objects.filter(stock=n)) for n in (1, 2, 2**70, 3)] == [[]] * 4


class Fickle(lookups.Exact):
    """Written otherwise for some values."""

    lookup_name = "exact"

    def as_sql(self, compiler, connection):
        sql, params = super().as_sql(compiler, connection)
        return (sql.replace("=", "IS NOT DISTINCT FROM") if params[0] == 2 else sql), params


def test_a_condition_that_is_written_otherwise_is_left_to_django(db):
    query = plain(Item.objects.filter(name="a").query)
    (lookup,) = query.where.children
    lookup.__class__ = Fickle
    text = text_of_anything(query)
    assert text.statement((1,)) is not None
    assert text.statement((2,)) is None


def text_of_anything(query):
    """Shapes allow no such lookup; texts hold all the same."""
    from cachepatterns.read import conditions

    conditions._LOOKUPS[Fickle] = conditions._LOOKUPS[lookups.Exact]
    try:
        return text_of(query, ("a",), "default")
    finally:
        del conditions._LOOKUPS[Fickle]


def test_values_are_prepared_once(db):
    """As Django does: of a field whose values do not stay the same when prepared again."""
    with isolate_apps("tests.app"):

        class Growing(models.CharField):
            def get_prep_value(self, value):
                return f"{value}+"

        class Odd(models.Model):  # noqa: DJ008
            grows = Growing(max_length=9)

            class Meta:
                app_label = "app"

        query = models.QuerySet(Odd).filter(grows="a").query
        other = models.QuerySet(Odd).filter(grows="b").query
        text = text_of(query, shape_of(query)[1], "default")
        found = text.statement(shape_of(other)[1])
        assert found.params == other.get_compiler("default").as_sql()[1]


@pytest.mark.parametrize(("first", "second"), [(1, None), (None, 1)])
def test_none_leaves_no_text_to_those_who_ask_for_a_row(first, second, goods, nothing_known):
    """Of `None` Django makes ``IS NULL``: a text without a place for a value."""
    pks = [item.pk for item in goods[2]]
    for key in (first, second):
        Item.objects.in_bulk([key and pks[0]])
    assert [Item.objects.get(pk=pk).pk for pk in pks[1:]] == pks[1:]
    assert list(Item.objects.in_bulk(pks[:1])) == pks[:1]


@pytest.mark.parametrize("value", [True, None])
def test_a_text_without_a_place_for_the_value_is_not_kept(value):
    """What is part of the shape stands in the text: it is no other value's."""
    query = plain(Item.objects.filter(active=value).query)
    assert text_of(query, (value,), "default") is None
    shape = shape_of(query)
    assert shape is not None
    assert text_of(query, shape[1], "default") is not None


@pytest.mark.django_db(transaction=True)
def test_from_its_second_miss_on_a_query_is_not_compiled_any_more(nothing_known, monkeypatch):
    calls = []
    kept = Kept.statement
    monkeypatch.setattr(
        Kept, "statement", lambda self, *args: calls.append(kept(self, *args)) or calls[-1]
    )
    Category.objects.bulk_create([Category(pk=n, name=f"c{n}", slug=f"c{n}") for n in range(1, 6)])
    with CaptureQueriesContext(connections["default"]) as captured:
        for n in range(1, 6):
            assert Category.objects.get(pk=n).name == f"c{n}"
            assert [c.pk for c in Category.objects.filter(name=f"c{n}")] == [n]
    assert len(captured) == 10
    assert [found is not None for found in calls] == [False] * 2 + [True] * 8
