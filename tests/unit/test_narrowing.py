"""By which field, and by which of its values, a query's entry is told apart."""

import uuid
from types import SimpleNamespace

import pytest
from django.db import connections
from django.db.models import F, Q

from cachepatterns.core.sqltext import read_text
from cachepatterns.read.dependencies import dependencies
from cachepatterns.registry import site
from tests.app.models import Category, CheapItem, Everything, Item, Label, Shop

KEY = uuid.UUID(int=7)


def tags(queryset, vendor="postgresql"):
    """The tags of a query, without the names of tables it only joins and of the database."""
    connection = connections["default"]
    sql, _ = queryset.query.get_compiler(connection=connection).as_sql()
    seen_as = SimpleNamespace(vendor=vendor, ops=connection.ops, features=connection.features)
    found = dependencies(queryset.query, read_text(sql), site, seen_as, "db")
    assert not found.reason
    label = queryset.model._meta.concrete_model._meta.label_lower
    return [name.partition("@db")[2] for name in found.tags if name.startswith(f"{label}@")]


ITEMS, ANY_ROW = Item.objects.all(), ["", ":*"]


@pytest.mark.parametrize(
    ("queryset", "expected"),
    [
        (lambda: ITEMS.filter(pk=7), ["", ":pk=7"]),
        (lambda: ITEMS.filter(category=5), ["", ":category=5"]),
        (lambda: ITEMS.filter(category_id__in=[5, 6, 5]), ["", ":category=5", ":category=6"]),
        (lambda: ITEMS.filter(category__in=[Category(pk=5)]), ["", ":category=5"]),
        (lambda: ITEMS.filter(category__pk=5), ["", ":category=5"]),
        (lambda: ITEMS.filter(stock="3"), ["", ":stock=3"]),
        (lambda: ITEMS.filter(active=True), ["", ":active=1"]),
        (lambda: ITEMS.filter(sku="a"), ["", ":sku=a"]),
        (lambda: CheapItem.objects.filter(stock=3), ["", ":stock=3"]),
        (lambda: Everything.objects.filter(pk=KEY), ["", f":pk={KEY.hex}"]),
        # A unique field tells more apart than another one, whichever comes first.
        (lambda: ITEMS.filter(stock=3, sku="a"), ["", ":sku=a"]),
        (lambda: ITEMS.filter(stock=3, pk=7), ["", ":pk=7"]),
        (lambda: ITEMS.filter(stock=3).filter(price__lt=5), ["", ":stock=3"]),
        (lambda: ITEMS.filter(Q(price=1) | Q(name="a"), stock=3), ["", ":stock=3"]),
        (lambda: ITEMS.filter(stock=3).exclude(stock=4), ["", ":stock=3"]),
        (lambda: ITEMS.filter(stock=3, category__slug="a"), ["", ":stock=3"]),
    ],
)
def test_one_exact_condition_that_every_row_must_meet_narrows_the_entry(queryset, expected):
    assert tags(queryset()) == expected


@pytest.mark.parametrize(
    "queryset",
    [
        lambda: ITEMS,
        lambda: ITEMS.filter(name="a"),
        lambda: ITEMS.filter(price=5),
        lambda: ITEMS.filter(stock__gt=3),
        lambda: ITEMS.filter(stock=F("category")),
        lambda: ITEMS.filter(Q(stock=3) | Q(stock=4)),
        lambda: ITEMS.filter(Q(stock=3) ^ Q(price=4)),
        lambda: ITEMS.exclude(stock=3),
        lambda: ITEMS.filter(~Q(stock=3)),
        lambda: ITEMS.filter(sku__iexact="a"),
        lambda: ITEMS.filter(second__isnull=True),
        lambda: ITEMS.filter(stock__in=range(40)),
        lambda: ITEMS.filter(category__in=Category.objects.filter(name="a")),
        lambda: ITEMS.filter(category__slug="a"),
        lambda: ITEMS.filter(stock=3).union(ITEMS.filter(stock=4)),
        # The table stands twice in it: other rows than those of stock 3 decide as well.
        lambda: ITEMS.filter(stock=3, category__items__price=5),
        lambda: ITEMS.filter(stock=3, pk__in=ITEMS.filter(price=1).values("pk")),
    ],
)
def test_whatever_is_less_certain_depends_on_every_row(queryset):
    assert tags(queryset()) == ANY_ROW


def test_an_inherited_field_is_of_the_parents_table():
    assert tags(Shop.objects.filter(name="a")) == ANY_ROW
    assert tags(Shop.objects.filter(pk=5)) == ["", ":pk=5"]


@pytest.mark.parametrize("model", [Category, Label])
def test_mysql_finds_texts_that_are_spelled_otherwise_so_they_narrow_nothing(model):
    field = "slug" if model is Category else "name"
    queryset = model.objects.filter(**{field: "abc"})
    assert tags(queryset) == ["", f":{field}=abc"]
    assert tags(queryset, vendor="mysql") == ANY_ROW
    assert tags(model.objects.filter(pk=5), vendor="mysql") == ["", ":pk=5"]
