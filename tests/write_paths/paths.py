"""Every way in which Django, or SQL sent through it, writes rows: one line each.

A path names the reads that it must leave alone (`spared`): their entries are still hits
after the write, wherever the database tells row by row what such a write did. What is not
named may die.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.admin import ModelAdmin, site
from django.core.management import call_command
from django.db import connections
from django.db.migrations.state import ProjectState
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat
from psycopg import sql as composable

from tests.app.models import Category, CheapItem, Item, Label, Note, Place, Shop
from tests.app.relations import (
    Club,
    Land,
    Ledger,
    Member,
    Owner,
    Plot,
)
from tests.write_paths.world import NEW, A, B, C, plain


@dataclass(frozen=True)
class Writer:
    """Who writes, and on which database."""

    using: str

    def __call__(self, model: Any) -> QuerySet[Any]:
        return model.objects.using(self.using)

    def plain(self, model: Any) -> QuerySet[Any]:
        return plain(model, self.using)

    def get(self, model: Any, key: Any = A, **changes: Any) -> Any:
        """An instance as the database has it, with `changes` not yet saved."""
        found = self.plain(model).get(pk=key)
        for name, value in changes.items():
            setattr(found, name, value)
        return found

    def execute(self, sql: Any, params: Any = None, *, many: bool = False) -> None:
        with connections[self.using].cursor() as cursor:
            (cursor.executemany if many else cursor.execute)(sql, params)

    def told_apart_by(self, name: str) -> dict[str, Any]:
        """What `bulk_create` is to be told of the field whose conflicts update."""
        return {} if connections[self.using].vendor == "mysql" else {"unique_fields": [name]}

    def new_item(self, **values: Any) -> Item:
        values = {"pk": NEW, "name": "new", "sku": "new", "category_id": C, "price": 1} | values
        return Item(**values)


Write = Callable[[Writer], Any]
INSERT, UPDATE, UPSERT, DELETE, COARSE = (
    frozenset({how}) for how in ("insert", "update", "upsert", "delete", "coarse")
)
"""What the database must be able to tell of a write."""


@dataclass(frozen=True)
class Path:
    group: str
    write: Write
    how: frozenset[str] = COARSE
    spared: str = ""
    """The reads whose entries survive an exact write, with commas between them."""
    vendors: tuple[str, ...] = ("postgresql", "sqlite", "mysql")
    untold: str = ""
    """The vendor for which Django writes it in a form that can not tell its rows."""

    @property
    def spares(self) -> set[str]:
        return set(filter(None, self.spared.split(", ")))


# What a write to one thing leaves alone.
OF_ITEM_B = "item B, item by sku B, note B, category A, category B, label A, label C"
OF_CATEGORY_B = f"{OF_ITEM_B}, items of B, count of B"
OF_NOTE_B = f"{OF_CATEGORY_B}, item A, items of A, notes of B"
OF_OWNER_B = (
    "owner B, cascading B, cascadings of B, nulled B, nulleds of B, defaulted B, given B, "
    "remark B, members of B"
)
OTHER_TABLES = "note A, note B, notes of A, category A, category B, label A, label C"


def _saved(w: Writer, **changes: Any) -> Any:
    return w.get(Item, **changes).save()


def _move_stale(w: Writer) -> None:
    """The instance never knew that the row is in category B."""
    stale = w.get(Item)
    w(Item).filter(pk=A).update(category=B)
    stale.category_id = C
    stale.save()


def _deferred(w: Writer) -> None:
    item = w(Item).only("name").get(pk=A)
    item.name = "deferred"
    item.save()


def _select_then_update(w: Writer) -> None:
    items = [w.get(Item, A, category_id=C), w.get(Item, B, category_id=C, name="bulk")]
    w(Item).bulk_update(items, ["category", "name"], batch_size=1)


def _admin(w: Writer, act: Callable[[Any, Any], Any]) -> None:
    act(ModelAdmin(Item, site), w(Item))


HISTORY: dict[str, Any] = {}


def _historical(w: Writer, label: str) -> Any:
    """The model as a migration's `RunPython` gets it: with managers of Django's alone."""
    return HISTORY.setdefault("apps", ProjectState.from_apps(apps).apps).get_model("app", label)


def _load(w: Writer, *rows: tuple[str, int, dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = File(folder, "rows.json")
        file.write_text(
            json.dumps([{"model": m, "pk": key, "fields": fields} for m, key, fields in rows])
        )
        call_command("loaddata", str(file), database=w.using, verbosity=0)


def _composed(w: Writer) -> None:
    text = "UPDATE {} SET {} = {} WHERE id = {}"
    name, column = composable.Identifier("app_item"), composable.Identifier("category_id")
    w.execute(composable.SQL(text).format(name, column, composable.Literal(C), A))


POSTGRESQL = ("postgresql",)

ROWS: dict[str, Path] = {
    # -- one row, by its instance
    "save": Path("goods", lambda w: _saved(w, name="saved"), UPDATE, OF_CATEGORY_B),
    "save that moves": Path("goods", lambda w: _saved(w, category_id=C), UPDATE, OF_CATEGORY_B),
    "save of a stale instance": Path("goods", _move_stale, UPDATE, OF_ITEM_B),
    "save(update_fields=)": Path(
        "goods",
        lambda w: w.get(Item, stock=9, name="unsaved").save(update_fields=["stock"]),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "save of deferred": Path("goods", _deferred, UPDATE, OF_CATEGORY_B),
    "save(force_update)": Path(
        "goods", lambda w: w.get(Item, stock=9).save(force_update=True), UPDATE, OF_CATEGORY_B
    ),
    "save(force_insert)": Path(
        "goods",
        lambda w: w.new_item().save(force_insert=True, using=w.using),
        INSERT,
        f"{OF_CATEGORY_B}, item A, items of A",
    ),
    "save of a new row with its key": Path(
        "goods",
        lambda w: w.new_item().save(using=w.using),
        INSERT | UPDATE,
        f"{OF_CATEGORY_B}, item A, items of A",
    ),
    "save(raw)": Path(
        "goods",
        lambda w: w.new_item().save_base(raw=True, using=w.using),
        INSERT | UPDATE,
        f"{OF_CATEGORY_B}, item A, items of A",
    ),
    "save of an expression": Path(
        "goods", lambda w: _saved(w, stock=F("stock") + 8), UPDATE, OF_CATEGORY_B
    ),
    "save of a new pk": Path(
        "goods", lambda w: _saved(w, pk=NEW, sku="copy"), INSERT | UPDATE, OF_CATEGORY_B
    ),
    "save of a proxy": Path(
        "goods", lambda w: w.get(CheapItem, stock=9).save(), UPDATE, OF_CATEGORY_B
    ),
    "create": Path(
        "goods",
        lambda w: w(Item).create(name="new", sku="new", category_id=C, price=1),
        INSERT,
        f"{OF_CATEGORY_B}, items of A",
    ),
    "create of a proxy": Path(
        "goods",
        lambda w: w(CheapItem).create(name="new", sku="new", category_id=C, price=1),
        INSERT,
        f"{OF_CATEGORY_B}, items of A",
    ),
    "delete": Path("goods", lambda w: w.get(Item).delete(), DELETE, OF_CATEGORY_B),
    "delete of one without relations": Path(
        "goods", lambda w: w.get(Note).delete(), DELETE, OF_NOTE_B
    ),
    # -- many rows, by a queryset
    "update": Path(
        "goods", lambda w: w(Item).filter(pk=A).update(name="x"), UPDATE, OF_CATEGORY_B
    ),
    "update that moves": Path(
        "goods",
        lambda w: w(Item).filter(category=A).update(category=C, stock=9),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "update by an expression": Path(
        "goods", lambda w: w(Item).filter(stock=1).update(stock=F("stock") + 8), UPDATE, OF_ITEM_B
    ),
    "update through a join": Path(
        "goods", lambda w: w(Item).filter(labels=A).update(second=C), UPDATE, OF_CATEGORY_B
    ),
    "update of all": Path("goods", lambda w: w(Item).update(stock=9), UPDATE, OTHER_TABLES),
    "delete by a queryset": Path(
        "goods", lambda w: w(Item).filter(category=A).delete(), DELETE, OF_CATEGORY_B
    ),
    "delete through a join": Path(
        "goods",
        lambda w: w(Note).filter(item__stock=1).delete(),
        DELETE,
        OF_NOTE_B,
        untold="mysql",  # DELETE … FROM … JOIN
    ),
    "delete of all": Path("goods", lambda w: w(Note).all().delete(), DELETE, "category A"),
    "bulk_create": Path(
        "goods",
        lambda w: w(Item).bulk_create([w.new_item(), w.new_item(pk=NEW + 1, sku="new2")]),
        INSERT,
        f"{OF_CATEGORY_B}, items of A",
    ),
    "bulk_create(ignore_conflicts)": Path(
        "goods",
        lambda w: w(Item).bulk_create([w.new_item(), w.new_item(pk=A)], ignore_conflicts=True),
        INSERT,
        f"{OF_CATEGORY_B}, item A, items of A",
    ),
    "bulk_create(update_conflicts)": Path(
        "goods",
        lambda w: w(Item).bulk_create(
            [w.new_item(pk=A, sku="sku-1"), w.new_item()],
            update_conflicts=True,
            update_fields=["name", "category"],
            **w.told_apart_by("sku"),
        ),
        UPSERT,
        OF_CATEGORY_B,
    ),
    "bulk_create(update_conflicts) of what stays where it is": Path(
        "goods",
        lambda w: w(Item).bulk_create(
            [w.new_item(pk=A, sku="sku-1", stock=9)],
            update_conflicts=True,
            update_fields=["stock"],
            **w.told_apart_by("pk"),
        ),
        UPSERT,
        f"{OF_CATEGORY_B}, items of C, count of C",
    ),
    "bulk_update": Path("goods", _select_then_update, UPDATE, "note A, category A, category B"),
    "get_or_create that creates": Path(
        "goods",
        lambda w: w(Item).get_or_create(
            sku="new", defaults={"name": "new", "category_id": C, "price": 1}
        ),
        INSERT,
        OF_CATEGORY_B,
    ),
    "update_or_create that updates": Path(
        "goods",
        lambda w: w(Item).update_or_create(sku="sku-1", defaults={"category_id": C}),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "update_or_create that creates": Path(
        "goods",
        lambda w: w(Item).update_or_create(
            sku="new", defaults={"name": "new", "category_id": C, "price": 1}
        ),
        INSERT,
        OF_CATEGORY_B,
    ),
    # -- relations
    "m2m add": Path("goods", lambda w: w.get(Item).labels.add(C), COARSE, "item A, note A"),
    "m2m add, reverse": Path("goods", lambda w: w.get(Label, C).items.add(A), COARSE),
    "m2m remove": Path("goods", lambda w: w.get(Item).labels.remove(A)),
    "m2m set": Path("goods", lambda w: w.get(Item).labels.set([C, B])),
    "m2m clear": Path("goods", lambda w: w.get(Item).labels.clear()),
    "m2m create": Path("goods", lambda w: w.get(Item).labels.create(name="label-new")),
    "reverse add": Path(
        "goods", lambda w: w.get(Category, C).items.add(w.get(Item)), UPDATE, OF_CATEGORY_B
    ),
    "reverse set": Path(
        "goods", lambda w: w.get(Category, A).second_items.set([w.get(Item, B)]), UPDATE
    ),
    "reverse remove": Path(
        "goods", lambda w: w.get(Category, B).second_items.remove(w.get(Item)), UPDATE
    ),
    "reverse clear": Path("goods", lambda w: w.get(Category, B).second_items.clear(), UPDATE),
    "reverse create": Path("goods", lambda w: w.get(Item).notes.create(text="new"), INSERT),
    "m2m through a model of one's own": Path(
        "owners",
        lambda w: w.get(Club, C).members.add(A, through_defaults={"rank": 7}),
        INSERT,
        "owner A",
    ),
    "through model itself": Path(
        "owners", lambda w: w(Member).create(club_id=C, owner_id=A, rank=7), INSERT, "owner A"
    ),
    "m2m through clear": Path(
        "owners", lambda w: w.get(Club, A).members.clear(), DELETE, "owner A, members of B"
    ),
    "generic relation create": Path(
        "owners", lambda w: w.get(Owner).remarks.create(text="new"), INSERT, "remark B"
    ),
    "generic relation clear": Path("owners", lambda w: w.get(Owner).remarks.clear(), DELETE),
    "generic relation update": Path(
        "owners", lambda w: w.get(Owner).remarks.update(text="new"), UPDATE, "remark B"
    ),
    # -- what is deleted with it
    "cascades of every kind": Path(
        "owners", lambda w: w.get(Owner).delete(), DELETE | UPDATE, OF_OWNER_B
    ),
    "cascades of a queryset": Path(
        "owners", lambda w: w(Owner).filter(pk=A).delete(), DELETE | UPDATE, OF_OWNER_B
    ),
    "cascade over two models": Path(
        "goods", lambda w: w.get(Category).delete(), DELETE | UPDATE, "item B, category B, note B"
    ),
    "cascades by the database": Path("owners", lambda w: w.get(Land).delete()),
    "cascades by the database, halfway": Path("owners", lambda w: w.get(Plot).delete()),
    # -- inheritance
    "child with its parent's field": Path(
        "places",
        lambda w: w.get(Shop, B, name="new", opens="09:00").save(),
        UPDATE,
        "place A, place C",
    ),
    "parent's field by the child's update": Path(
        "places", lambda w: w(Shop).filter(pk=B).update(name="new"), UPDATE, "place A, place C"
    ),
    "both tables by the child's update": Path(
        "places",
        lambda w: w(Shop).filter(pk=B).update(name="new", opens="09:00"),
        UPDATE,
        "place A, place C",
    ),
    "parent of a child": Path(
        "places", lambda w: w.get(Place, B, name="new").save(), UPDATE, "place A, place C"
    ),
    "parents by their update": Path(
        "places",
        lambda w: w(Place).filter(shop__isnull=False).update(name=Concat("name", Value("!"))),
        UPDATE,
        "place A",
    ),
    "new child": Path(
        "places", lambda w: w(Shop).create(name="new"), INSERT, "place A, place B, place C"
    ),
    "child for a parent": Path(
        "places",
        lambda w: Shop(place_ptr_id=A, name="now").save(using=w.using),
        INSERT | UPDATE,
        "place B, place C",
    ),
    "delete of a child": Path("places", lambda w: w.get(Shop, B).delete(), DELETE, "place A"),
    "delete of a child alone": Path(
        "places", lambda w: w.get(Shop, B).delete(keep_parents=True), DELETE, "place A, place B"
    ),
    "delete of a parent": Path("places", lambda w: w.get(Place, B).delete(), DELETE, "place A"),
    # -- what the database makes
    "database default": Path("owners", lambda w: w(Ledger).create(amount=5), INSERT, "ledger A"),
    "generated field": Path(
        "owners", lambda w: w.get(Ledger, amount=1).save(), UPDATE, "ledger B"
    ),
    "generated field by an expression": Path(
        "owners", lambda w: w(Ledger).filter(pk=A).update(amount=F("amount") * 2), UPDATE
    ),
    # -- what our classes never see
    "plain save": Path("goods", lambda w: w.get(Note, text="new").save(), UPDATE, "note B"),
    "plain update": Path(
        "goods",
        lambda w: w.plain(Item).filter(category=A).update(category=C),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "plain create": Path(
        "goods",
        lambda w: w.plain(Note).create(item_id=A, text="new"),
        INSERT,
        "note A, note B, notes of B, item A, category A",
    ),
    "plain bulk_create": Path(
        "goods",
        lambda w: w.plain(Item).bulk_create(
            [Item(name="new", sku=x, category_id=C, price=1) for x in ("new", "sku-1")],
            ignore_conflicts=True,
        ),
        INSERT,
        f"{OF_CATEGORY_B}, item A, items of A",
    ),
    "plain delete": Path(
        "goods", lambda w: w.plain(Item).filter(category=A).delete(), DELETE, OF_CATEGORY_B
    ),
    "plain through table": Path(
        "goods", lambda w: w.plain(Item.labels.through).filter(label=A).delete()
    ),
    "fast delete": Path(
        "goods",
        lambda w: w.plain(Note).filter(item=A)._raw_delete(w.using),
        DELETE,
        OF_NOTE_B,
    ),
    "fast delete of all": Path("goods", lambda w: w.plain(Note)._raw_delete(w.using), DELETE),
    "admin save": Path(
        "goods",
        lambda w: _admin(
            w, lambda a, o: a.save_model(None, w.get(Item, category_id=C), None, True)
        ),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "admin delete": Path(
        "goods",
        lambda w: _admin(w, lambda a, o: a.delete_model(None, w.get(Item))),
        DELETE,
        OF_CATEGORY_B,
    ),
    "admin action": Path(
        "goods",
        lambda w: _admin(w, lambda a, o: a.delete_queryset(None, o.filter(category=A))),
        DELETE,
        OF_CATEGORY_B,
    ),
    "historical update": Path(
        "goods",
        lambda w: _historical(w, "Item").objects.using(w.using).filter(pk=A).update(category=C),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "historical save": Path(
        "goods",
        lambda w: _historical(w, "Category")(pk=NEW, name="new", slug="new").save(using=w.using),
        INSERT | UPDATE,
        "category A, category B, item A, item B",
    ),
    "historical delete": Path(
        "goods",
        lambda w: _historical(w, "Item").objects.using(w.using).filter(pk=A).delete(),
        DELETE,
        OF_CATEGORY_B,
    ),
    "loaddata": Path(
        "goods",
        lambda w: _load(
            w,
            ("app.note", A, {"item": A, "text": "loaded"}),
            ("app.item", A, {"name": "x", "sku": "x", "category": C, "price": 1, "labels": [C]}),
        ),
        UPDATE,
        OF_CATEGORY_B.replace(", label C", ""),
    ),
    # -- SQL
    "raw update": Path(
        "goods",
        lambda w: w.execute("update app_item set category_id = %s where id = %s", [C, A]),
    ),
    "raw quoted delete": Path(
        "goods", lambda w: w.execute("/* spring */ DELETE FROM app_note WHERE id = %s", [A])
    ),
    "raw insert": Path(
        "goods",
        lambda w: w.execute(
            "INSERT INTO app_note (item_id, text) SELECT id, name FROM app_item WHERE id = %s", [A]
        ),
    ),
    "executemany": Path(
        "goods",
        lambda w: w.execute(
            "UPDATE app_item SET stock = %s WHERE id = %s", [(9, A), (9, B)], many=True
        ),
    ),
    "composed SQL": Path("goods", _composed, vendors=POSTGRESQL),
    "TRUNCATE … CASCADE": Path(
        "goods", lambda w: w.execute("TRUNCATE app_category CASCADE"), vendors=POSTGRESQL
    ),
    "MERGE": Path(
        "goods",
        lambda w: w.execute(
            "MERGE INTO app_item i USING (SELECT 1) x ON i.id = %s "
            "WHEN MATCHED THEN UPDATE SET category_id = %s",
            [A, C],
        ),
        vendors=POSTGRESQL,
    ),
    "a CTE that writes": Path(
        "goods",
        lambda w: w.execute(
            "WITH moved AS (UPDATE app_item SET category_id = %s WHERE id = %s RETURNING id) "
            "SELECT count(*) FROM moved",
            [C, A],
        ),
        vendors=POSTGRESQL,
    ),
    "several statements": Path(
        "goods",
        lambda w: w.execute(
            f"UPDATE app_item SET stock = 9 WHERE id = {A}; DELETE FROM app_note WHERE id = {A}"
        ),
        vendors=POSTGRESQL,
    ),
    "REPLACE": Path(
        "goods",
        lambda w: w.execute(
            "REPLACE INTO app_note (id, item_id, text) VALUES (%s, %s, %s)", [A, B, "new"]
        ),
        vendors=("sqlite", "mysql"),
    ),
    # -- async
    "asave": Path(
        "goods", lambda w: async_to_sync(w.get(Item, category_id=C).asave)(), UPDATE, OF_CATEGORY_B
    ),
    "adelete": Path(
        "goods", lambda w: async_to_sync(w.get(Item).adelete)(), DELETE, OF_CATEGORY_B
    ),
    "aupdate": Path(
        "goods",
        lambda w: async_to_sync(w(Item).filter(pk=A).aupdate)(category=C),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "acreate": Path(
        "goods",
        lambda w: async_to_sync(w(Item).acreate)(name="new", sku="new", category_id=C, price=1),
        INSERT,
        OF_CATEGORY_B,
    ),
    "adelete of a queryset": Path(
        "goods", lambda w: async_to_sync(w(Item).filter(pk=A).adelete)(), DELETE, OF_CATEGORY_B
    ),
    "abulk_create": Path(
        "goods",
        lambda w: async_to_sync(w(Item).abulk_create)([w.new_item()]),
        INSERT,
        OF_CATEGORY_B,
    ),
    "abulk_update": Path(
        "goods",
        lambda w: async_to_sync(w(Item).abulk_update)([w.get(Item, category_id=C)], ["category"]),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "aupdate_or_create": Path(
        "goods",
        lambda w: async_to_sync(w(Item).aupdate_or_create)(
            sku="sku-1", defaults={"category_id": C}
        ),
        UPDATE,
        OF_CATEGORY_B,
    ),
    "m2m aset": Path("goods", lambda w: async_to_sync(w.get(Item).labels.aset)([C])),
}
