"""Random writes: one function for each way in which the ORM, or SQL, writes rows."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat

from tests.app.models import Category, CheapItem, Everything, Item, Label, Note, Place, Shop
from tests.differential import world


@dataclass
class Writer:
    """Who writes: the chance that decides, the database, and instances loaded some time ago."""

    rng: random.Random
    using: str
    kept: list[models.Model] = field(default_factory=list)

    def __call__(self, model: Any) -> Any:
        return model.objects.using(self.using)

    def plain(self, model: Any) -> Any:
        """A queryset of Django's own, of which the cache's classes know nothing."""
        return QuerySet(model, using=self.using)

    def item(self) -> Item:
        """An item, loaded now or long outdated."""
        if self.kept and self.rng.random() < 0.4:
            found = self.rng.choice(self.kept)
        else:
            found = self(Item).get(pk=world.item_pk(self.rng))
            self.kept = [*self.kept[-5:], found]
        return found

    def new_item(self) -> Item:
        pk = world.item_pk(self.rng)
        sku = f"sku-{pk - world.BASE}"
        return Item(pk=pk, sku=sku, **world.item_values(self.rng))

    def execute(self, sql: str, params: Any = None, *, many: bool = False) -> None:
        with connections[self.using].cursor() as cursor:
            (cursor.executemany if many else cursor.execute)(sql, params)


Write = Callable[[Writer], Any]
WRITERS: dict[str, Write] = {}
VENDOR_ONLY = {"raw cte": "postgresql", "raw returning": "postgresql", "raw replace": "sqlite"}


def writer(write: Write) -> Write:
    WRITERS[write.__name__.replace("_", " ")] = write
    return write


def writers(**writes: Write) -> None:
    """Adds writes that one expression each can make."""
    WRITERS.update({name.replace("_", " "): write for name, write in writes.items()})


def _changed(w: Writer, obj: Any, *fields: str) -> dict[str, Any]:
    values = world.item_values(w.rng)
    chosen = list(fields) or w.rng.sample(sorted(values), 2)
    for name in chosen:
        setattr(obj, name, values[name])
    return {"update_fields": chosen}


@writer
def save(w: Writer) -> None:
    item = w.item()
    _changed(w, item)
    item.save(using=w.using)


@writer
def save_update_fields(w: Writer) -> None:
    item = w.item()
    item.save(using=w.using, **_changed(w, item, w.rng.choice(["stock", "category_id", "price"])))


@writer
def save_expression(w: Writer) -> None:
    item = w(Item).get(pk=world.item_pk(w.rng))
    item.stock = F("stock") + 1
    item.save(using=w.using)


@writer
def save_deferred(w: Writer) -> None:
    item = w(Item).only("name").get(pk=world.item_pk(w.rng))
    item.name = world.word(w.rng)
    item.save()


@writer
def save_raw(w: Writer) -> None:
    w.new_item().save_base(raw=True, using=w.using)


@writer
def child_through_child(w: Writer) -> None:
    shop = w(Shop).get(pk=world.place_pk(w.rng))
    shop.name, shop.opens = world.word(w.rng), world.moment(w.rng).time()
    shop.save()


@writer
def child_through_parent(w: Writer) -> None:
    place = w(Place).get(pk=world.place_pk(w.rng))
    place.name = world.word(w.rng)
    place.save()


@writer
def bulk_update(w: Writer) -> None:
    found = list(w(Item).filter(pk__in=[world.item_pk(w.rng) for _ in range(4)]))
    for item in found:
        _changed(w, item, "stock", "category_id", "name")
    w(Item).bulk_update(found, ["stock", "category", "name"], batch_size=w.rng.choice([None, 2]))


writers(
    # One row by its instance.
    save_new=lambda w: w.new_item().save(using=w.using),
    save_forced_insert=lambda w: Everything(**world.everything_values(w.rng)).save(
        using=w.using, force_insert=True
    ),
    create=lambda w: w(Category).create(name=world.word(w.rng), slug=f"new-{w.rng.random()}"),
    create_note=lambda w: w(Note).create(item_id=world.item_pk(w.rng), text=world.word(w.rng)),
    create_everything=lambda w: w(Everything).create(**world.everything_values(w.rng)),
    create_child=lambda w: w(Shop).create(pk=world.place_pk(w.rng), name=world.word(w.rng)),
    create_proxy=lambda w: w(CheapItem).create(
        **world.item_values(w.rng), sku=f"proxy-{w.rng.randint(1, 4)}"
    ),
    delete=lambda w: w(Item).get(pk=world.item_pk(w.rng)).delete(),
    delete_child=lambda w: (
        w(Shop).get(pk=world.place_pk(w.rng)).delete(keep_parents=w.rng.random() < 0.5)
    ),
    delete_cascading=lambda w: w(Category).get(pk=world.category_pk(w.rng)).delete(),
    delete_parent=lambda w: w(Place).get(pk=world.place_pk(w.rng)).delete(),
    # Many rows by a queryset.
    update=lambda w: w(Item).filter(stock=world.stock(w.rng)).update(name=world.word(w.rng)),
    update_one=lambda w: w(Item).filter(pk=world.item_pk(w.rng)).update(price=world.price(w.rng)),
    update_narrowed=lambda w: (
        w(Item)
        .filter(category=world.category_pk(w.rng))
        .update(category=world.category_pk(w.rng), stock=world.stock(w.rng))
    ),
    update_f=lambda w: (
        w(Item).filter(active=True).update(stock=F("stock") % 3 + 1, second=F("category"))
    ),
    update_joined=lambda w: (
        w(Item)
        .filter(labels__name=f"label-{w.rng.randint(1, world.LABELS)}")
        .update(active=w.rng.random() < 0.5)
    ),
    update_subquery=lambda w: (
        w(Item)
        .filter(Q(category__slug=world.slug(w.rng)) | Q(notes__text=world.word(w.rng)))
        .update(rating=world.rating(w.rng), made=world.maybe_moment(w.rng))
    ),
    update_all=lambda w: w(Item).update(stock=F("stock")),
    update_json=lambda w: (
        w(Item).filter(pk=world.item_pk(w.rng)).update(data=world.document(w.rng))
    ),
    update_category=lambda w: (
        w(Category)
        .filter(pk=world.category_pk(w.rng))
        .update(name=world.word(w.rng), parent=world.category_pk(w.rng))
    ),
    update_label=lambda w: (
        w(Label).filter(pk=world.label_pk(w.rng)).update(name=f"label-{w.rng.randint(1, 9)}")
    ),
    update_child=lambda w: (
        w(Shop).filter(pk__gte=world.place_pk(w.rng)).update(name=world.word(w.rng), opens=None)
    ),
    update_parent=lambda w: (
        w(Place).filter(shop__isnull=False).update(name=Concat("name", Value("x")))
    ),
    update_everything=lambda w: (
        w(Everything).filter(flag=True).update(**world.everything_values(w.rng) or {"flag": None})
    ),
    delete_queryset=lambda w: w(Item).filter(pk__in=[world.item_pk(w.rng)] * 2).delete(),
    delete_joined=lambda w: w(Note).filter(item__stock=world.stock(w.rng)).delete(),
    delete_label=lambda w: w(Label).filter(name=f"label-{w.rng.randint(1, 12)}").delete(),
    delete_everything=lambda w: w(Everything).filter(flag=w.rng.random() < 0.5).delete(),
    # Many rows by instances.
    bulk_create=lambda w: w(Note).bulk_create(
        [Note(item_id=world.item_pk(w.rng), text=world.word(w.rng)) for _ in range(2)]
    ),
    bulk_create_ignoring=lambda w: w(Item).bulk_create(
        [w.new_item(), w.new_item()], ignore_conflicts=True
    ),
    bulk_create_upserting=lambda w: w(Item).bulk_create(
        [w.new_item()],
        update_conflicts=True,
        unique_fields=["sku"],
        update_fields=["name", "category", "stock"],
    ),
    # One row, found or made.
    get_or_create=lambda w: w(Item).get_or_create(
        sku=world.sku(w.rng), defaults=world.item_values(w.rng)
    ),
    update_or_create=lambda w: w(Item).update_or_create(
        sku=world.sku(w.rng), defaults=world.item_values(w.rng)
    ),
    get_or_create_label=lambda w: w(Label).get_or_create(name=f"label-{w.rng.randint(1, 12)}"),
    # Relations.
    m2m_add=lambda w: w.item().labels.add(world.label_pk(w.rng), world.label_pk(w.rng)),
    m2m_remove=lambda w: w.item().labels.remove(world.label_pk(w.rng)),
    m2m_set=lambda w: w.item().labels.set([world.label_pk(w.rng)]),
    m2m_clear=lambda w: w.item().labels.clear(),
    m2m_create=lambda w: w.item().labels.create(name=f"label-{w.rng.randint(1, 12)}"),
    m2m_back=lambda w: w(Label).get(pk=world.label_pk(w.rng)).items.add(world.item_pk(w.rng)),
    m2m_set_back=lambda w: (
        w(Label)
        .get(pk=world.label_pk(w.rng))
        .items.set([world.item_pk(w.rng), world.item_pk(w.rng)])
    ),
    m2m_through=lambda w: (
        w.plain(Item.labels.through).filter(label=world.label_pk(w.rng)).delete()
    ),
    reverse_add=lambda w: w(Category).get(pk=world.category_pk(w.rng)).items.add(w.item()),
    reverse_clear=lambda w: w(Category).get(pk=world.category_pk(w.rng)).second_items.clear(),
    reverse_create=lambda w: w.item().notes.create(text=world.word(w.rng)),
    # What the cache's own classes never see.
    plain_create=lambda w: Note.plain.using(w.using).create(
        item_id=world.item_pk(w.rng), text=world.word(w.rng)
    ),
    plain_update=lambda w: (
        w.plain(Item)
        .filter(category=world.category_pk(w.rng))
        .update(stock=world.stock(w.rng), name=world.word(w.rng))
    ),
    plain_delete=lambda w: w.plain(Item).filter(pk=world.item_pk(w.rng)).delete(),
    plain_bulk=lambda w: w.plain(Category).bulk_create(
        [Category(name="bulk", slug=f"bulk-{w.rng.randint(1, 9)}")], ignore_conflicts=True
    ),
    fast_delete=lambda w: w.plain(Note).filter(text=world.word(w.rng))._raw_delete(w.using),
    raw_update=lambda w: w.execute(
        "update app_item set stock = stock + 1 where category_id = %s", [world.category_pk(w.rng)]
    ),
    raw_quoted=lambda w: w.execute(
        'UPDATE "app_category" SET "name" = %s WHERE "id" = %s',
        [world.word(w.rng), world.category_pk(w.rng)],
    ),
    raw_delete=lambda w: w.execute(
        "/* spring clean */ DELETE FROM app_note WHERE text = %s", [world.word(w.rng)]
    ),
    raw_insert_select=lambda w: w.execute(
        "INSERT INTO app_note (item_id, text) SELECT id, name FROM app_item WHERE stock = %s",
        [world.stock(w.rng)],
    ),
    raw_many=lambda w: w.execute(
        "UPDATE app_item SET price = %s WHERE id = %s",
        [(7, world.item_pk(w.rng)), (8, world.item_pk(w.rng))],
        many=True,
    ),
    raw_cte=lambda w: w.execute(
        "WITH moved AS (UPDATE app_item SET category_id = %s WHERE stock = %s RETURNING id) "
        "SELECT count(*) FROM moved",
        [world.category_pk(w.rng), world.stock(w.rng)],
    ),
    raw_returning=lambda w: w.execute(
        "UPDATE ONLY app_label SET name = 'raw-' || name WHERE id = %s RETURNING id",
        [world.label_pk(w.rng)],
    ),
    raw_replace=lambda w: w.execute(
        "REPLACE INTO app_place (id, name) VALUES (%s, %s)",
        [world.place_pk(w.rng), world.word(w.rng)],
    ),
)
