"""The small world that is asked about and written to: bounded keys, words and numbers.

Everything is drawn from small ranges, so that random questions and random writes meet.
Primary keys given by hand stand far above those the database gives.
"""

import datetime
import random
import zoneinfo
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.app.models import Category, Everything, Item, Label, Note, Place, Secret, Shop

BASE = 1_000_000
CATEGORIES, ITEMS, LABELS, PLACES = 7, 24, 6, 6
WORDS = ["ash", "birch", "cedar", "Ash", "o'ak", 'p"ine', "ünder", "100%", "%s"]
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def category_pk(rng: random.Random) -> int:
    return BASE + rng.randint(1, CATEGORIES)


def item_pk(rng: random.Random) -> int:
    return BASE + rng.randint(1, ITEMS)


def label_pk(rng: random.Random) -> int:
    return BASE + rng.randint(1, LABELS)


def place_pk(rng: random.Random) -> int:
    return BASE + rng.randint(1, PLACES)


def word(rng: random.Random) -> str:
    return rng.choice(WORDS)


def slug(rng: random.Random) -> str:
    return f"slug-{rng.randint(1, CATEGORIES)}"


def sku(rng: random.Random) -> str:
    return f"sku-{rng.randint(1, ITEMS)}"


def price(rng: random.Random) -> Decimal:
    return Decimal(rng.choice(["0.00", "4.50", "5.00", "9.99", "10.00", "120.25", "-3.10"]))


def stock(rng: random.Random) -> int:
    return rng.randint(-1, 4)


def rating(rng: random.Random) -> float | None:
    return rng.choice([None, 0.0, 1.5, 3.25, 5.0])


def moment(rng: random.Random) -> datetime.datetime:
    zone = rng.choice([datetime.UTC, BERLIN])
    month, day, hour = rng.choice([1, 6]), rng.randint(1, 3), rng.choice([0, 12, 23])
    return datetime.datetime(rng.choice([2024, 2025]), month, day, hour, 30, tzinfo=zone)


def maybe_moment(rng: random.Random) -> datetime.datetime | None:
    return rng.choice([None, moment(rng)])


def document(rng: random.Random) -> Any:
    return rng.choice([None, {}, {"a": rng.randint(0, 2)}, {"a": {"b": [1, "x"]}}, [1, 2.5, None]])


def item_values(rng: random.Random) -> dict[str, Any]:
    """Every column of an item but its keys."""
    return {
        "name": word(rng),
        "category_id": category_pk(rng),
        "second_id": rng.choice([None, category_pk(rng)]),
        "price": price(rng),
        "stock": stock(rng),
        "rating": rating(rng),
        "active": rng.random() < 0.7,
        "made": maybe_moment(rng),
        "data": document(rng),
    }


def everything_values(rng: random.Random) -> dict[str, Any]:
    """Some columns of an `Everything`; the others stay NULL."""
    values = {
        "big": rng.choice([0, -(2**63), 2**63 - 1]),
        "text": rng.choice(["", word(rng), "long " * 2000]),
        "flag": rng.random() < 0.5,
        "decimal": rng.choice([Decimal("0.1"), Decimal("-0"), Decimal("12345678901.0000000001")]),
        "real": rng.choice([0.1, -0.0, 1e300]),
        "date": moment(rng).date(),
        "time": datetime.time(23, 59, 59, 999999),
        "moment": moment(rng),
        "span": rng.choice([datetime.timedelta(0), datetime.timedelta(days=-3, microseconds=7)]),
        "raw": rng.choice([b"", b"\x00\xff", b"a" * 50]),
        "json": document(rng),
        "ip": rng.choice(["10.0.0.1", "::1"]),
    }
    return {name: value for name, value in values.items() if rng.random() < 0.6}


def populate(rng: random.Random, using: str) -> None:
    """Add what is missing: called at the start, and after writes that took much away."""

    def add(model: Any, objs: Iterable[Any]) -> None:
        model.objects.using(using).bulk_create(list(objs), ignore_conflicts=True)

    add(
        Category,
        (
            Category(
                pk=BASE + number,
                name=word(rng),
                slug=f"slug-{number}",
                parent_id=BASE + number // 2 if number > 1 else None,
            )
            for number in range(1, CATEGORIES + 1)
        ),
    )
    add(Label, (Label(pk=BASE + n, name=f"label-{n}") for n in range(1, LABELS + 1)))
    numbers = [number for number in range(1, ITEMS + 1) if rng.random() < 0.6]
    add(Item, (Item(pk=BASE + n, sku=f"sku-{n}", **item_values(rng)) for n in numbers))
    labels = list(Label.objects.using(using).uncached().order_by("pk"))
    for item in Item.objects.using(using).uncached().filter(labels=None, notes=None):
        item.labels.set(rng.sample(labels, k=min(2, len(labels))))
        add(Note, [Note(item=item, text=word(rng))])
        if rng.random() < 0.2:
            add(Secret, [Secret(item=item, word=word(rng))])
    for number in range(1, PLACES + 1):
        kind: Any = Shop if number % 2 else Place
        kind.objects.using(using).get_or_create(pk=BASE + number, defaults={"name": word(rng)})
    if Everything.objects.using(using).count() < 4:
        Everything.objects.using(using).create(**everything_values(rng))
