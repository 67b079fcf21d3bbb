"""Random questions: one function for each kind of query that the ORM knows.

A question is its kind and a seed: asked again, it is the very same question, whatever
has been written since. Its function gets the querysets to ask from, so that the same
code asks the cache and plain Django.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import (
    Avg,
    Case,
    Count,
    DecimalField,
    Exists,
    F,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, Concat, Lower, RowNumber, TruncMonth

from tests.app.models import Category, Everything, Item, Label, Note
from tests.differential import world
from tests.differential.conditions import (
    DATES,
    JOINS,
    NARROW,
    NULLS,
    SUBQUERIES,
    draw,
    items,
    tree,
)
from tests.differential.conditions import Objects as Objects

Ask = Callable[[random.Random, Objects], Any]


class Unordered(list[Any]):
    """A result whose order the database is free to choose."""


@dataclass(frozen=True)
class Kind:
    name: str
    ask: Ask
    bypass: str
    """The reason for which queries of this kind may pass the cache by; mostly empty."""
    vendors: tuple[str, ...]


KINDS: dict[str, Kind] = {}


def question(
    name: str, *, bypass: str = "", vendors: tuple[str, ...] = ("postgresql", "sqlite")
) -> Callable[[Ask], Ask]:
    """Adds a kind of question under `name`."""

    def add(ask: Ask) -> Ask:
        assert name not in KINDS
        KINDS[name] = Kind(name, ask, bypass, vendors)
        return ask

    return add


def questions(**asks: Ask) -> None:
    """Adds kinds that one expression each can ask."""
    for name, ask in asks.items():
        question(name.replace("_", " "))(ask)


def sliced(rng: random.Random, queryset: Any) -> Any:
    start = rng.randint(0, 3)
    return queryset[start : start + rng.randint(0, 6)]


# Rows under conditions; first those by which entries are told apart.
questions(
    narrowed=lambda r, o: list(o(Item).filter(draw(r, o, NARROW))),
    narrowed_in=lambda r, o: list(
        o(Item).filter(category__in=[world.category_pk(r), world.category_pk(r)])
    ),
    narrowed_count=lambda r, o: o(Item).filter(draw(r, o, NARROW)).count(),
    narrowed_values=lambda r, o: list(o(Item).filter(draw(r, o, NARROW)).values("pk", "name")),
    filter=lambda r, o: list(items(r, o)),
    q_tree=lambda r, o: list(o(Item).filter(tree(r, o)).order_by("pk")),
    exclude_tree=lambda r, o: list(o(Item).exclude(tree(r, o)).order_by("pk")),
    isnull=lambda r, o: list(o(Item).filter(draw(r, o, NULLS)).order_by("pk")),
    dates_filter=lambda r, o: list(o(Item).filter(draw(r, o, DATES)).order_by("pk")),
    joins=lambda r, o: list(o(Item).filter(draw(r, o, JOINS), draw(r, o, JOINS)).order_by("pk")),
    subqueries=lambda r, o: list(o(Item).filter(draw(r, o, SUBQUERIES)).order_by("pk")),
    unordered=lambda r, o: Unordered(items(r, o).order_by()),
    slice=lambda r, o: list(sliced(r, items(r, o))),
    index=lambda r, o: items(r, o)[r.randint(0, 8)],
    distinct=lambda r, o: list(items(r, o).filter(draw(r, o, JOINS)).distinct()),
    order_by=lambda r, o: list(
        items(r, o).order_by(
            r.choice(["name", "-price", "category__name", F("rating").desc(nulls_last=True)]), "pk"
        )
    ),
    reverse=lambda r, o: list(items(r, o).reverse()),
    custom_method=lambda r, o: list(o(Item).cheap()),
    everything=lambda r, o: list(o(Everything).order_by("pk")),
    everything_values=lambda r, o: list(o(Everything).order_by("pk").values()),
)

# Other shapes of the same rows.
questions(
    values=lambda r, o: list(items(r, o).values("pk", "name", "price", "data", "category__slug")),
    values_all=lambda r, o: list(items(r, o).values()),
    values_list=lambda r, o: list(items(r, o).values_list("made", "rating", "active", "second")),
    values_flat=lambda r, o: list(items(r, o).values_list("price", flat=True)),
    values_named=lambda r, o: list(items(r, o).values_list("pk", "stock", named=True)),
    values_m2m=lambda r, o: list(
        items(r, o).order_by("pk", "labels__name").values_list("pk", "labels__name")
    ),
    distinct_values=lambda r, o: Unordered(
        items(r, o).order_by().values_list("category", "active").distinct()
    ),
    only=lambda r, o: list(items(r, o).only("name", "price")),
    defer=lambda r, o: list(items(r, o).defer("data", "made")),
    only_then_touched=lambda r, o: [(i, i.stock) for i in items(r, o).only("name")[:2]],
    group_by=lambda r, o: list(
        items(r, o)
        .order_by()
        .values("category")
        .annotate(n=Count("pk"), most=Max("price"))
        .order_by("category")
    ),
    dates=lambda r, o: list(items(r, o).dates("made", r.choice(["year", "month", "day"]))),
    datetimes=lambda r, o: list(
        items(r, o).datetimes("made", r.choice(["month", "hour"]), tzinfo=world.BERLIN)
    ),
)

# Annotations.
questions(
    annotate_count=lambda r, o: list(items(r, o).annotate(n=Count("labels", distinct=True))),
    annotate_filtered=lambda r, o: list(
        items(r, o).annotate(n=Count("notes", filter=Q(notes__text=world.word(r))))
    ),
    annotate_having=lambda r, o: list(
        items(r, o).annotate(n=Count("notes")).filter(n__gte=r.randint(0, 2))
    ),
    annotate_sum=lambda r, o: list(
        o(Category).annotate(worth=Sum(F("items__price") * F("items__stock"))).order_by("pk")
    ),
    annotate_f=lambda r, o: list(items(r, o).annotate(double=F("stock") * 2 + r.randint(0, 2))),
    annotate_case=lambda r, o: list(
        items(r, o).annotate(
            band=Case(
                When(price__lt=world.price(r), then=Value("low")),
                When(category__parent=None, then=F("category__name")),
                default=Value("high"),
            )
        )
    ),
    annotate_subquery=lambda r, o: list(
        items(r, o).annotate(
            last=Subquery(o(Note).filter(item=OuterRef("pk")).order_by("-pk").values("text")[:1])
        )
    ),
    annotate_exists=lambda r, o: list(
        items(r, o).annotate(noted=Exists(o(Note).filter(item=OuterRef("pk"), text=world.word(r))))
    ),
    annotate_functions=lambda r, o: list(
        items(r, o).annotate(
            low=Lower("name"),
            full=Concat("name", Value("/"), "sku"),
            known=Coalesce("rating", Value(-1.0)),
        )
    ),
    annotate_trunc=lambda r, o: list(items(r, o).annotate(m=TruncMonth("made"))),
    alias=lambda r, o: list(items(r, o).alias(n=Count("labels")).filter(n__lt=r.randint(1, 3))),
    window=lambda r, o: list(
        items(r, o).annotate(
            place=Window(RowNumber(), partition_by="category", order_by=["-price", "pk"])
        )
    ),
)

# One answer.
questions(
    count=lambda r, o: items(r, o).count(),
    count_tree=lambda r, o: o(Item).filter(tree(r, o)).count(),
    exists=lambda r, o: items(r, o).exists(),
    contains=lambda r, o: items(r, o).contains(Item(pk=world.item_pk(r))),
    aggregate=lambda r, o: items(r, o).aggregate(
        Sum("stock"), Max("price"), Min("made"), Avg("rating"), n=Count("pk")
    ),
    aggregate_join=lambda r, o: o(Category).aggregate(
        n=Count("items", filter=Q(items__active=True)), m=Max("items__price")
    ),
    aggregate_expression=lambda r, o: items(r, o).aggregate(
        worth=Sum(F("price") * F("stock"), output_field=DecimalField()),
        lots=Coalesce(Sum("stock", output_field=IntegerField()), 0),
    ),
    get_pk=lambda r, o: o(Item).get(pk=world.item_pk(r)),
    get_pk_as_text=lambda r, o: o(Item).get(pk=str(world.item_pk(r))),
    get_category=lambda r, o: o(Category).get(id=world.category_pk(r)),
    get_missing=lambda r, o: o(Label).get(pk=5),
    get_unique=lambda r, o: o(Item).get(sku=world.sku(r)),
    get_filtered=lambda r, o: items(r, o).get(pk=world.item_pk(r)),
    get_one_of_many=lambda r, o: o(Item).get(stock=world.stock(r)),
    first=lambda r, o: items(r, o).first(),
    last=lambda r, o: items(r, o).last(),
    latest=lambda r, o: items(r, o).order_by().latest("price", "pk"),
    earliest=lambda r, o: items(r, o).order_by().earliest("name", "pk"),
    in_bulk=lambda r, o: o(Item).in_bulk([world.item_pk(r) for _ in range(r.randint(0, 6))]),
    in_bulk_all=lambda r, o: o(Category).in_bulk(),
    in_bulk_unique=lambda r, o: o(Item).in_bulk([world.sku(r), world.sku(r)], field_name="sku"),
    in_bulk_filtered=lambda r, o: items(r, o).in_bulk([world.item_pk(r), world.item_pk(r)]),
)

# One answer over a subquery.
questions(
    count_sliced=lambda r, o: sliced(r, items(r, o)).count(),
    count_distinct=lambda r, o: items(r, o).filter(draw(r, o, JOINS)).distinct().count(),
    count_distinct_values=lambda r, o: items(r, o).values("category", "active").distinct().count(),
    count_union=lambda r, o: items(r, o).order_by().union(items(r, o).order_by()).count(),
    count_union_sliced=lambda r, o: sliced(
        r, items(r, o).order_by().union(items(r, o).order_by(), all=True).order_by("pk")
    ).count(),
    count_difference=lambda r, o: (
        items(r, o).order_by().difference(items(r, o).order_by()).count()
    ),
    count_having=lambda r, o: items(r, o).annotate(n=Count("notes")).filter(n__gte=1).count(),
    count_window=lambda r, o: (
        items(r, o)
        .annotate(place=Window(RowNumber(), partition_by="category", order_by=["-price", "pk"]))
        .filter(place__lte=r.randint(1, 2))
        .count()
    ),
    exists_union=lambda r, o: items(r, o).order_by().union(items(r, o).order_by()).exists(),
    exists_sliced=lambda r, o: sliced(r, items(r, o)).exists(),
    aggregate_sliced=lambda r, o: sliced(r, items(r, o)).aggregate(Sum("stock"), Max("price")),
    aggregate_distinct=lambda r, o: items(r, o).distinct().aggregate(Avg("rating"), Min("made")),
    aggregate_annotated=lambda r, o: (
        items(r, o).annotate(n=Count("labels")).aggregate(Sum("n"), Max("n"), Sum("price"))
    ),
    aggregate_grouped=lambda r, o: (
        items(r, o)
        .order_by()
        .values("category")
        .annotate(worth=Sum("price"))
        .aggregate(most=Max("worth"), n=Count("*"))
    ),
    aggregate_subquery=lambda r, o: (
        items(r, o)
        .annotate(
            last=Subquery(o(Note).filter(item=OuterRef("pk")).order_by("-pk").values("text")[:1])
        )
        .aggregate(n=Count("last", distinct=True), first=Min("last"))
    ),
)

# Several querysets in one.
questions(
    union=lambda r, o: Unordered(items(r, o).order_by().union(items(r, o).order_by())),
    union_ordered=lambda r, o: list(
        items(r, o).order_by().union(items(r, o).order_by(), all=r.random() < 0.5).order_by("pk")
    ),
    union_values=lambda r, o: list(
        items(r, o)
        .order_by()
        .values_list("pk", "name")
        .union(o(Category).values_list("pk", "name"))
        .order_by("pk", "name")
    ),
    union_sliced=lambda r, o: list(
        sliced(r, items(r, o).order_by().union(items(r, o).order_by()).order_by("pk"))
    ),
    intersection=lambda r, o: Unordered(
        items(r, o).order_by().intersection(items(r, o).order_by())
    ),
    difference=lambda r, o: Unordered(items(r, o).order_by().difference(items(r, o).order_by())),
    in_union=lambda r, o: list(o(Note).filter(item__in=items(r, o).order_by()[:3]).order_by("pk")),
    either=lambda r, o: list(items(r, o) | items(r, o)),
    both=lambda r, o: list(items(r, o) & items(r, o)),
)


def _raw(queryset: Any, sql: str, *params: Any) -> list[Any]:
    """Raw SQL, with tags where the cache is asked."""
    tags = {"tags": [queryset.model]} if hasattr(queryset, "cached") else {}
    return list(queryset.raw(sql, params, using=queryset.db, **tags))


# Raw SQL, of which is said what it depends on.
questions(
    raw_tagged=lambda r, o: _raw(
        o(Item), "SELECT * FROM app_item WHERE stock > %s ORDER BY id", world.stock(r)
    ),
    raw_deferring=lambda r, o: _raw(
        o(Item),
        "SELECT id, name, price + 1 AS more FROM app_item WHERE category_id = %s ORDER BY id",
        world.category_pk(r),
    ),
    raw_joined=lambda r, o: _raw(
        o(Category),
        "SELECT c.id, c.name, count(i.id) AS n FROM app_category c LEFT JOIN app_item i "
        "ON i.category_id = c.id AND i.price > %s GROUP BY c.id, c.name ORDER BY c.id",
        world.stock(r),
    ),
)


@question("distinct on", vendors=("postgresql",))
def distinct_on(rng: random.Random, objects: Objects) -> Any:
    return list(items(rng, objects).order_by("category", "pk").distinct("category"))


@question("prepared, then asked twice")
def narrowed_after_evaluation(rng: random.Random, objects: Objects) -> Any:
    """A queryset that has been evaluated is the ground of further ones."""
    base = items(rng, objects)
    return [list(base), list(base.filter(stock__gte=world.stock(rng))), len(base), bool(base)]
