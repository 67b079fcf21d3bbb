"""What is read and written: items in categories, each of which counts its own writes.

An item's version is its ``stock``, a category's its ``name``: every committed write adds one.
What is rolled back had added `NEVER`, so nobody may see as much. Rows are born and deleted too,
but none is deleted before it is `LIFE` seconds old.
"""

from __future__ import annotations

import datetime
import random
import time
import uuid
from collections.abc import Callable

from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.fields import CharField, IntegerField
from django.db.models.functions import Cast

from tests.app.models import Category, Item

CATEGORIES, ITEMS = 8, 80
NEVER = 1_000_000
LIFE = 8.0


def create() -> None:
    """The world at its beginning."""
    categories = Category.objects.bulk_create(
        Category(name="0", slug=f"c{n}") for n in range(CATEGORIES)
    )
    Item.objects.bulk_create(
        Item(name=f"i{n}", sku=f"i{n}", category=categories[n % CATEGORIES], price=n)
        for n in range(ITEMS)
    )


class Writer:
    """Writes, each a little different, on rows of which a few are hot."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.items = list(Item.objects.uncached().filter(sku__startswith="i"))
        self.categories = sorted({item.category_id for item in self.items})
        self.touched: set[int] = set()

    def write(self) -> str:
        """Do one write; returns what it was."""
        self.touched.clear()
        work = self.dice.choices(WRITES, WEIGHTS)[0]
        work(self)
        return work.__name__

    @property
    def pk(self) -> int:
        pk = pick(self.dice, [item.pk for item in self.items])
        self.touched.add(pk)
        return pk

    @property
    def category(self) -> int:
        return self.dice.choice(self.categories)

    # -- in autocommit --------------------------------------------------------------------

    def update(self) -> None:
        Item.objects.filter(pk=self.pk).update(stock=F("stock") + 1)

    def save(self) -> None:
        Item(pk=self.pk, stock=F("stock") + 1).save(update_fields=["stock"])

    def move(self) -> None:
        Item.objects.filter(pk=self.pk).update(category=self.category, stock=F("stock") + 1)

    def update_many(self) -> None:
        Item.objects.filter(pk__in=[self.pk, self.pk, self.pk]).update(stock=F("stock") + 1)

    def raw_sql(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE app_item SET stock = stock + 1 WHERE id = %s", [self.pk])

    def rename_category(self) -> None:
        added = Cast(Cast("name", IntegerField()) + Value(1), CharField())
        Category.objects.filter(pk=self.category).update(name=added)

    # -- in transactions ------------------------------------------------------------------

    def atomic_update(self) -> None:
        with transaction.atomic():
            Item.objects.filter(pk=self.pk).update(stock=F("stock") + 1)

    def atomic_save(self) -> None:
        with transaction.atomic():
            item = Item.objects.select_for_update().get(pk=self.pk)
            item.stock += 1
            item.category_id = self.category
            item.save()

    def atomic_raw_sql(self) -> None:
        with transaction.atomic():
            self.raw_sql()

    def atomic_category_save(self) -> None:
        with transaction.atomic():
            category = Category.objects.select_for_update().get(pk=self.category)
            category.name = str(int(category.name) + 1)
            category.save()

    def bulk_update(self) -> None:
        with transaction.atomic():
            wanted = {self.pk, self.pk, self.pk}
            items = list(Item.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))
            for item in items:
                item.stock += 1
                item.category_id = self.category
            Item.objects.bulk_update(items, ["stock", "category"])

    def in_several_steps(self) -> None:
        with transaction.atomic():
            for pk in sorted({self.pk, self.pk}):
                Item.objects.filter(pk=pk).update(stock=F("stock") + 1)
                time.sleep(self.dice.random() * 0.02)

    def rolled_back(self) -> None:
        with transaction.atomic():
            Item.objects.filter(pk=self.pk).update(stock=F("stock") + NEVER)
            transaction.set_rollback(True)

    def partly_rolled_back(self) -> None:
        with transaction.atomic():
            pk = self.pk
            Item.objects.filter(pk=pk).update(stock=F("stock") + 1)
            with transaction.atomic():
                Item.objects.filter(pk=pk).update(stock=F("stock") + NEVER)
                transaction.set_rollback(True)

    # -- rows that come and go ------------------------------------------------------------

    def bulk_create(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        Item.objects.bulk_create(
            Item(
                name="born",
                sku=uuid.uuid4().hex[:20],
                category_id=self.category,
                price=0,
                made=now,
            )
            for _ in range(2)
        )

    def delete(self) -> None:
        old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=LIFE)
        Item.objects.filter(name="born", made__lt=old).delete()


def pick(dice: random.Random, choices: list[int]) -> int:
    """One of `choices`, the first ones far more often than the last."""
    return choices[int(len(choices) * dice.random() ** 3)]


_WEIGHTED: list[tuple[Callable[[Writer], None], int]] = [
    (Writer.update, 4),
    (Writer.save, 4),
    (Writer.move, 3),
    (Writer.update_many, 2),
    (Writer.raw_sql, 1),
    (Writer.rename_category, 1),
    (Writer.atomic_update, 4),
    (Writer.atomic_save, 4),
    (Writer.atomic_raw_sql, 1),
    (Writer.atomic_category_save, 1),
    (Writer.bulk_update, 2),
    (Writer.in_several_steps, 4),
    (Writer.rolled_back, 3),
    (Writer.partly_rolled_back, 3),
    (Writer.bulk_create, 1),
    (Writer.delete, 1),
]
WRITES = [work for work, _ in _WEIGHTED]
WEIGHTS = [weight for _, weight in _WEIGHTED]
