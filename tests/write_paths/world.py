"""The rows that are written to, and what is read of them before and after.

Each read has a name, so that a write path can say which of them it must leave alone.
Primary keys stand far above those that the database gives.
"""

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction
from django.db.models import Count, QuerySet, Sum

from tests.app.models import Category, CheapItem, Item, Label, Note, Place, Shop
from tests.app.relations import (
    Cascading,
    Club,
    Defaulted,
    Given,
    Land,
    Ledger,
    Member,
    Nulled,
    Owner,
    Plot,
    Remark,
    Shed,
    Well,
)

BASE = 1_000_000
A, B, C = (BASE + n for n in (1, 2, 3))
"""The keys of the first three rows of every model."""
NEW = 2 * BASE
"""The key of what is not there yet."""

Objects = Callable[[Any], Any]
Read = Callable[[Objects], Any]
OWNED: tuple[Any, ...] = (Cascading, Nulled, Defaulted, Given)


def plain(model: Any, using: str) -> QuerySet[Any]:
    """A queryset of Django's own, of which the cache's classes know nothing."""
    return QuerySet(model, using=using)


def _goods() -> Iterable[models.Model]:
    """Items 1 and 3 in category A, 2 in B; C is empty."""
    for n, key in enumerate((A, B, C), 1):
        yield Category(pk=key, name=f"name {n}", slug=f"slug-{n}")
        yield Label(pk=key, name=f"label-{n}")
    for n, category in enumerate((A, B, A), 1):
        yield Item(
            pk=BASE + n,
            name=f"item {n}",
            sku=f"sku-{n}",
            category_id=category,
            second_id=B if n == 1 else None,
            price=n,
            stock=n,
        )
    through = Item.labels.through
    yield through(item_id=A, label_id=A)
    yield through(item_id=B, label_id=B)
    yield Note(pk=A, item_id=A, text="note 1")
    yield Note(pk=B, item_id=B, text="note 2")


def _places() -> Iterable[models.Model]:
    """Place A and shops B and C, whose halves in the parent's table come first."""
    for n, key in enumerate((A, B, C), 1):
        yield Place(pk=key, name=f"place {n}")


def _shops(using: str) -> None:
    for key in (B, C):
        Shop(place_ptr_id=key, opens=datetime.time(8)).save_base(raw=True, using=using)


def _owners(using: str) -> Iterable[models.Model]:
    kind = ContentType.objects.db_manager(using).get_for_model(Owner)
    for n, key in enumerate((A, B, C), 1):
        yield Owner(pk=key, name=f"owner {n}")
        yield Club(pk=key, name=f"club {n}")
        yield Land(pk=key, name=f"land {n}")
    for key in (A, B):
        for model in OWNED:
            yield model(pk=key, text="text", owner_id=key)
        yield Member(pk=key, club_id=key, owner_id=key)
        yield Remark(pk=key, text="text", content_type_id=kind.pk, object_id=key)
        yield Plot(pk=key, text="text", owner_id=key)
        yield Well(pk=key, text="text", owner_id=key)
        yield Shed(pk=key, text="text", owner_id=key)
        yield Ledger(pk=key, amount=5, code=f"code-{key - BASE}")


MODELS: dict[str, tuple[Any, ...]] = {
    "goods": (Note, Item.labels.through, Item, Category, Label),
    "places": (Shop, Place),
    "owners": (Remark, Member, *OWNED, Shed, Plot, Well, Club, Owner, Land, Ledger),
}
"""Referring ones first, in which order they can be emptied."""


def restore(group: str, using: str) -> None:
    """Have just the rows above, whatever was written before."""
    rows = {"goods": _goods, "places": _places, "owners": lambda: _owners(using)}[group]()
    by_model: dict[Any, list[models.Model]] = {}
    for row in rows:
        by_model.setdefault(type(row), []).append(row)
    with transaction.atomic(using):
        empty(group, using)
        for model in reversed(MODELS[group]):
            if model is not Shop:
                plain(model, using).bulk_create(by_model[model])
        if group == "places":
            _shops(using)


def empty(group: str, using: str) -> None:
    for model in MODELS[group]:
        plain(model, using)._raw_delete(using)


# -- what is read ---------------------------------------------------------------------------


def row(model: Any, key: Any) -> Read:
    def read(objects: Objects) -> Any:
        try:
            found = objects(model).get(pk=key)
        except ObjectDoesNotExist:
            return "missing"
        return {f.attname: getattr(found, f.attname) for f in model._meta.concrete_fields}

    return read


def listed(model: Any, **where: Any) -> Read:
    def read(objects: Objects) -> Any:
        return list(objects(model).filter(**where).order_by("pk").values_list())

    return read


def _prefetched(objects: Objects) -> Any:
    items = objects(Item).prefetch_related("labels", "notes").order_by("pk")
    return [
        (i.pk, sorted(x.name for x in i.labels.all()), sorted(n.text for n in i.notes.all()))
        for i in items
    ]


def _named(model: Any) -> dict[str, Read]:
    name = model._meta.model_name
    return {
        f"{name} A": row(model, A),
        f"{name} B": row(model, B),
        f"{name}s of A": listed(model, owner=A),
        f"{name}s of B": listed(model, owner=B),
    }


READS: dict[str, dict[str, Read]] = {
    "goods": {
        "item A": row(Item, A),
        "item B": row(Item, B),
        "item by sku B": listed(Item, sku="sku-2"),
        "items of A": listed(Item, category=A),
        "items of B": listed(Item, category=B),
        "items of C": listed(Item, category=C),
        "count of B": lambda o: o(Item).filter(category=B).count(),
        "count of C": lambda o: o(Item).filter(category=C).exists(),
        "stock 9": listed(Item, stock=9),
        "second B": listed(Item, second=B),
        "all items": listed(Item),
        "sum": lambda o: o(Item).aggregate(Sum("price"), Count("pk")),
        "joined": listed(Item, category__name="name 1"),
        "category joined": listed(Category, items__stock=1),
        "subquery": lambda o: list(
            o(Category)
            .filter(pk__in=o(Item).filter(stock__gt=1).values("category"))
            .order_by("pk")
            .values()
        ),
        "cheap of A": listed(CheapItem, category=A),
        "labels of A": listed(Label, items=A),
        "labels of B": listed(Label, items=B),
        "items of label A": listed(Item, labels=A),
        "items of label C": listed(Item, labels=C),
        "prefetched": _prefetched,
        "category A": row(Category, A),
        "category B": row(Category, B),
        "no item": row(Item, NEW),
        "no category": row(Category, NEW),
        "label A": row(Label, A),
        "label C": row(Label, C),
        "note A": row(Note, A),
        "note B": row(Note, B),
        "notes of A": listed(Note, item=A),
        "notes of B": listed(Note, item=B),
    },
    "places": {
        "place A": row(Place, A),
        "place B": row(Place, B),
        "place C": row(Place, C),
        "shop B": row(Shop, B),
        "shop C": row(Shop, C),
        "all places": listed(Place),
        "all shops": listed(Shop),
        "shops named": listed(Shop, name="place 2"),
        "places with shops": listed(Place, shop__isnull=False),
    },
    "owners": {
        "owner A": row(Owner, A),
        "owner B": row(Owner, B),
        **{name: read for model in OWNED for name, read in _named(model).items()},
        "nulleds of nobody": listed(Nulled, owner=None),
        "defaulteds of C": listed(Defaulted, owner=C),
        "givens of C": listed(Given, owner=C),
        "remarks on A": lambda o: list(o(Remark).filter(object_id=A).order_by("pk").values_list()),
        "remark A": row(Remark, A),
        "remark B": row(Remark, B),
        "clubs of A": listed(Club, members=A),
        "members of A": listed(Member, owner=A),
        "members of B": listed(Member, owner=B),
        "owners of club C": listed(Owner, clubs=C),
        "ranked": listed(Owner, member__rank=7),
        "land A": row(Land, A),
        **_named(Plot),
        **_named(Shed),
        **_named(Well),
        "ledger A": row(Ledger, A),
        "ledger B": row(Ledger, B),
        "coded": listed(Ledger, code="new"),
        "twice": listed(Ledger, twice=10),
    },
}
