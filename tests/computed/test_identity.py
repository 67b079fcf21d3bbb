"""Arguments are told apart by type and value, in every process alike, or refused."""

import datetime
import enum
import uuid
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe

from cachepatterns.computed.identity import NoIdentityError, spelled
from tests.app.models import Category, CheapItem, Item


class Colour(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Point:
    x: int
    y: int


class Place(msgspec.Struct):
    x: int
    y: int


Pair = namedtuple("Pair", "x y")


def row(model=Item, pk=1, using="default"):
    return model.from_db(using, [model._meta.pk.attname], [pk])


DIFFERENT = [
    None, 0, 1, True, False, 1.0, "1", b"1", Decimal(1), Decimal("1.0"), Size.SMALL, Colour.RED,
    "None", "", -0.0, 0.0, float("inf"),
    datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), datetime.time(0),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/London")),
    datetime.datetime(2026, 1, 1, fold=1), datetime.timedelta(1), datetime.timedelta(seconds=1),
    uuid.UUID(int=1), uuid.UUID(int=1).hex,
    (), [], set(), frozenset(), {}, (1,), [1], {1}, (1, 2), [1, 2], (12,), ((1,), 2), (1, (2,)),
    ["a", "b"], ["ab"], ["a,b"], {"a": 1}, {"a": "1"}, {("a", 1)}, [("a", 1)],
    Point(1, 2), Place(1, 2), Pair(1, 2), Item, Category, int, mark_safe("1"),
    row(), row(pk=2), row(Category), row(CheapItem), row(using="sqlite"), ZoneInfo("UTC"),
]  # fmt: skip


def test_no_two_of_these_are_taken_for_one():
    told = [spelled(value) for value in DIFFERENT]
    assert len({*told}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, "x"}, {"x", 2, 1}),
        (row(), SimpleLazyObject(row)),
        ([{"a": {1, 2}}], [{"a": {2, 1}}]),
        (Point(1, 2), Point(1, 2)),
    ],
)
def test_what_is_equal_is_told_alike(one, other):
    assert spelled(one) == spelled(other)


def itself():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "value",
    [
        object(), float("nan"), Decimal("nan"), Item(), Item(pk=1), print, lambda: 1, itself(),
        [object()], {"a": object()}, (x for x in ()), Exception("a"), memoryview(b"a"),
    ],
)  # fmt: skip
def test_what_nothing_tells_apart_is_refused(value):
    with pytest.raises(NoIdentityError):
        spelled(value)


def test_a_class_within_a_function_has_no_name_that_another_process_knows():
    class Local:
        pass

    with pytest.raises(NoIdentityError):
        spelled(Local)
