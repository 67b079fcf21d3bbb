"""Random conditions on items: every operator, every relation, nested at random."""

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery

from tests.app.models import Category, Item, Note
from tests.differential import world

Objects = Callable[[type], QuerySet[Any]]
"""Gives the unfiltered queryset of a model: a cached one or, for comparison, a plain one."""
Condition = Callable[[random.Random, Objects], Any]

PLAIN: list[Condition] = [
    lambda r, o: Q(pk=world.item_pk(r)),
    lambda r, o: Q(pk__in=[world.item_pk(r) for _ in range(r.randint(0, 5))]),
    lambda r, o: Q(pk__gt=world.item_pk(r)),
    lambda r, o: Q(sku=world.sku(r)),
    lambda r, o: Q(sku__in=[world.sku(r), world.sku(r)]),
    lambda r, o: Q(name=world.word(r)),
    lambda r, o: Q(name__iexact=world.word(r)),
    lambda r, o: Q(name__contains=world.word(r)[:2]),
    lambda r, o: Q(name__istartswith=world.word(r)[:1]),
    lambda r, o: Q(name__regex="^[abc]"),
    lambda r, o: Q(category=world.category_pk(r)),
    lambda r, o: Q(category__in=[world.category_pk(r), world.category_pk(r)]),
    lambda r, o: Q(second=world.category_pk(r)),
    lambda r, o: Q(stock=world.stock(r)),
    lambda r, o: Q(stock__in=[world.stock(r), world.stock(r)]),
    lambda r, o: Q(stock__lte=world.stock(r)),
    lambda r, o: Q(stock__gt=F("rating")),
    lambda r, o: Q(active=r.random() < 0.5),
    lambda r, o: Q(price=world.price(r)),
    lambda r, o: Q(price__range=(Decimal(0), world.price(r))),
    lambda r, o: Q(price__lt=F("stock") * 4 + 1),
    lambda r, o: Q(data__a=r.randint(0, 2)),
    lambda r, o: Q(data__has_key="a"),
    lambda r, o: Q(data=world.document(r) or [1, 2.5, None]),
]
NARROW: list[Condition] = [
    lambda r, o: Q(category=world.category_pk(r)),
    lambda r, o: Q(second=r.choice([None, world.category_pk(r)])),
    lambda r, o: Q(stock=world.stock(r)),
    lambda r, o: Q(active=r.random() < 0.5),
    lambda r, o: Q(sku=world.sku(r)),
    lambda r, o: Q(stock=world.stock(r), category=world.category_pk(r)),
]
NULLS: list[Condition] = [
    lambda r, o: Q(second__isnull=r.random() < 0.5),
    lambda r, o: Q(second=None),
    lambda r, o: Q(rating__isnull=r.random() < 0.5),
    lambda r, o: Q(made__isnull=r.random() < 0.5),
    lambda r, o: Q(category__parent__isnull=r.random() < 0.5),
    lambda r, o: Q(labels__isnull=r.random() < 0.5),
    lambda r, o: Q(notes__isnull=r.random() < 0.5),
]
DATES: list[Condition] = [
    lambda r, o: Q(made__year=r.choice([2024, 2025])),
    lambda r, o: Q(made__month__in=[1, 6]),
    lambda r, o: Q(made__date=datetime.date(2024, 1, r.randint(1, 3))),
    lambda r, o: Q(made__hour__gte=12),
    lambda r, o: Q(made__gte=world.moment(r)),
    lambda r, o: Q(
        made__range=(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), world.moment(r))
    ),
]
JOINS: list[Condition] = [
    lambda r, o: Q(category__slug=world.slug(r)),
    lambda r, o: Q(category__name__in=[world.word(r), world.word(r)]),
    lambda r, o: Q(category__parent=world.category_pk(r)),
    lambda r, o: Q(category__parent__slug=world.slug(r)),
    lambda r, o: Q(second__name=world.word(r)),
    lambda r, o: Q(labels=world.label_pk(r)),
    lambda r, o: Q(labels__name=f"label-{r.randint(1, world.LABELS)}"),
    lambda r, o: Q(labels__in=[world.label_pk(r), world.label_pk(r)]),
    lambda r, o: Q(notes__text=world.word(r)),
    lambda r, o: Q(category__items__stock=world.stock(r)),
]
SUBQUERIES: list[Condition] = [
    lambda r, o: Exists(o(Note).filter(item=OuterRef("pk"), text=world.word(r))),
    lambda r, o: (
        ~Exists(o(Item).filter(category=OuterRef("category"), price__gt=OuterRef("price")))
    ),
    lambda r, o: Q(pk__in=o(Note).filter(text=world.word(r)).values("item")),
    lambda r, o: Q(category__in=o(Category).filter(name=world.word(r))),
    lambda r, o: Q(
        stock=Subquery(
            o(Item)
            .filter(category=OuterRef("category"))
            .order_by()
            .values("category")
            .annotate(most=Max("stock"))
            .values("most")[:1]
        )
    ),
    lambda r, o: Q(
        pk__in=o(Item).annotate(n=Count("notes")).filter(n__gt=r.randint(0, 1)).values("pk")
    ),
]
ALL = [*PLAIN, *NULLS, *DATES, *JOINS, *SUBQUERIES]


def draw(rng: random.Random, objects: Objects, conditions: list[Condition]) -> Any:
    """One of `conditions`, as something that `filter()` takes."""
    return rng.choice(conditions)(rng, objects)


def tree(rng: random.Random, objects: Objects, depth: int = 2) -> Q:
    """A random tree of conditions with &, |, ^ and ~."""
    if depth == 0 or rng.random() < 0.2:
        found = Q(draw(rng, objects, ALL))
    else:
        one, other = tree(rng, objects, depth - 1), tree(rng, objects, depth - 1)
        found = rng.choice([lambda: one & other, lambda: one | other, lambda: one ^ other])()
    return ~found if rng.random() < 0.25 else found


def items(rng: random.Random, objects: Objects, model: type = Item) -> QuerySet[Any]:
    """Items under none to three random conditions, in the order of their keys."""
    found = objects(model)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        narrow = rng.choice([found.filter, found.filter, found.exclude])
        # Mostly single conditions, as in life, on which narrowing by tags can act.
        found = narrow(draw(rng, objects, rng.choice([PLAIN, PLAIN, ALL])))
    return found.order_by("pk")
