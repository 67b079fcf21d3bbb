"""Random questions along relations: joins that are loaded, prefetches, related managers."""

import random
from typing import Any

from django.db.models import Count, FilteredRelation, Prefetch, Q

from tests.app.models import Category, CheapItem, Item, Label, Note, Place, Shop
from tests.differential import world
from tests.differential.conditions import Objects, items
from tests.differential.generators import Unordered, question, questions

# Loaded along.
questions(
    select_related=lambda r, o: list(items(r, o).select_related("category", "second")),
    select_related_deep=lambda r, o: list(
        o(Note).select_related("item__category__parent").order_by("pk")
    ),
    select_related_only=lambda r, o: list(
        items(r, o).select_related("category").only("name", "category__slug")
    ),
    select_related_reverse=lambda r, o: list(o(Place).select_related("shop").order_by("pk")),
    prefetch_fk=lambda r, o: list(items(r, o).prefetch_related("category")),
    prefetch_reverse=lambda r, o: list(o(Category).prefetch_related("items").order_by("pk")),
    prefetch_m2m=lambda r, o: list(items(r, o).prefetch_related("labels")),
    prefetch_m2m_back=lambda r, o: list(o(Label).prefetch_related("items").order_by("pk")),
    prefetch_nested=lambda r, o: list(
        o(Category).prefetch_related("items__labels", "second_items").order_by("pk")
    ),
    prefetch_to_attr=lambda r, o: list(
        items(r, o).prefetch_related(
            Prefetch("notes", o(Note).filter(text=world.word(r)), to_attr="found"),
            Prefetch("labels", o(Label).order_by("-name").only("name")),
        )
    ),
)


@question("filtered relation")
def filtered_relation(rng: random.Random, objects: Objects) -> Any:
    cheap = FilteredRelation("items", condition=Q(items__price__lt=world.price(rng)))
    found = objects(Category).annotate(cheap=cheap).values_list("pk", "cheap__sku")
    return list(found.order_by("pk", "cheap__sku"))


# From the other end.
questions(
    labels_of_items=lambda r, o: list(
        o(Label).filter(items__stock=world.stock(r)).distinct().order_by("pk")
    ),
    labels_counted=lambda r, o: list(o(Label).annotate(n=Count("items")).order_by("-n", "pk")),
    labels_without=lambda r, o: list(
        o(Label).exclude(items__category=world.category_pk(r)).order_by("pk")
    ),
    categories_of_notes=lambda r, o: list(
        o(Category).filter(items__notes__text=world.word(r)).distinct().order_by("pk")
    ),
    categories_either_way=lambda r, o: list(
        o(Category)
        .filter(Q(items__labels=world.label_pk(r)) | Q(second_items__active=False))
        .distinct()
        .order_by("pk")
    ),
    notes_of_category=lambda r, o: list(
        o(Note).filter(item__category=world.category_pk(r)).order_by("pk")
    ),
    through_rows=lambda r, o: list(
        o(Item).filter(labels__in=[world.label_pk(r)]).values_list("pk", "labels").order_by("pk")
    ),
)


# From an instance.
def _item(rng: random.Random, objects: Objects) -> Any:
    return objects(Item).get(pk=world.item_pk(rng))


def _category(rng: random.Random, objects: Objects) -> Any:
    return objects(Category).get(pk=world.category_pk(rng))


def _label(rng: random.Random, objects: Objects) -> Any:
    return objects(Label).get(pk=world.label_pk(rng))


def _with_owner(owner: Any, name: str, queryset: Any) -> list[Any]:
    """Found rows, and for each whether it knows the very instance it was reached from."""
    found = list(queryset)
    return [owner, found, [row.__dict__ and getattr(row, name) is owner for row in found]]


def _followed(item: Any) -> list[Any]:
    return [item.category, item.second, item.category is item.category, item]


questions(
    fk_access=lambda r, o: _followed(_item(r, o)),
    fk_access_chain=lambda r, o: getattr(_category(r, o).parent, "parent", None),
    reverse_manager=lambda r, o: _with_owner(
        c := _category(r, o), "category", c.items.order_by("pk")
    ),
    reverse_filtered=lambda r, o: list(
        _category(r, o).items.filter(stock=world.stock(r)).order_by("pk")
    ),
    m2m_manager=lambda r, o: list(_item(r, o).labels.order_by("pk")),
    m2m_manager_back=lambda r, o: list(_label(r, o).items.filter(active=True).order_by("pk")),
    related_count=lambda r, o: [_item(r, o).labels.count(), _category(r, o).items.exists()],
    related_values=lambda r, o: Unordered(_item(r, o).labels.values_list("name", flat=True)),
    related_get=lambda r, o: _category(r, o).items.get(pk=world.item_pk(r)),
)

# One table's rows as several models.
questions(
    proxy=lambda r, o: list(items(r, o, CheapItem)),
    proxy_get=lambda r, o: o(CheapItem).get(pk=world.item_pk(r)),
    child=lambda r, o: list(o(Shop).order_by("pk")),
    child_get=lambda r, o: o(Shop).get(pk=world.place_pk(r)),
    child_by_parent_field=lambda r, o: list(o(Shop).filter(name=world.word(r)).order_by("pk")),
    parent=lambda r, o: list(o(Place).filter(shop__isnull=r.random() < 0.5).order_by("pk")),
    parent_get=lambda r, o: o(Place).get(pk=world.place_pk(r)),
    child_of_parent=lambda r, o: o(Place).get(pk=world.place_pk(r)).shop,
    parent_of_child=lambda r, o: o(Shop).get(pk=world.place_pk(r)).place_ptr,
)


@question("select_related and prefetch")
def mixed(rng: random.Random, objects: Objects) -> Any:
    queryset = items(rng, objects).select_related("category").prefetch_related("category__items")
    return list(queryset[: rng.randint(1, 5)])


@question("reverse plain manager", bypass="plain manager")
def reverse_plain(rng: random.Random, objects: Objects) -> Any:
    """The default manager of notes is plain, so related managers made of it are, too."""
    return list(_item(rng, objects).notes.order_by("pk"))


@question("prefetch plain manager", bypass="plain manager")
def prefetch_plain(rng: random.Random, objects: Objects) -> Any:
    return list(items(rng, objects).prefetch_related("notes"))
