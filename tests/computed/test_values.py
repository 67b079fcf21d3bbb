"""What a function returned comes back as it was, or is refused with a word of what to do."""

import datetime
import decimal
import enum
import uuid
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from cachepatterns.computed.sameness import same
from cachepatterns.computed.values import Values
from cachepatterns.exceptions import CorruptEntry, UncacheableResult
from tests.app.models import CheapItem, Item


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Total:
    net: decimal.Decimal
    lines: list[str]


@dataclass
class Counted:
    count: int

    def __post_init__(self):
        self.count += 1


class Rate(msgspec.Struct):
    at: datetime.datetime
    colour: Colour


class Span(NamedTuple):
    low: int
    high: int


plain = Values("shop.total")
BERLIN = datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1, -(2**70), 1.5, float("nan"), -0.0, "é", b"\x00", [], {}, (), [None],
        {"b": 1, "a": [1.0, {"c": None}]}, (1, [2, (3,)]), {1, "1"}, frozenset({(1, 2)}),
        {1: "a", "1": "b", (2, 3): None}, decimal.Decimal("1.00"), decimal.Decimal("NaN"),
        datetime.date(2026, 1, 1), datetime.time(1, 2, fold=1), datetime.timedelta(-1, 5, 7),
        datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        BERLIN, uuid.UUID(int=7), mark_safe("<b>"), [mark_safe("<b>"), "<b>"],
        [decimal.Decimal(1), {"a": (uuid.UUID(int=1), {datetime.date(2026, 1, 1)})}],
    ],
)  # fmt: skip
def test_it_comes_back_as_it_was(value):
    body, back = plain.kept(value)
    assert same(value, back)
    assert same(value, plain.given(body))
    assert plain.given(body) is not value or not isinstance(value, (list, dict, set))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Total, Total(decimal.Decimal("1.50"), ["a"])),
        (list[Total], [Total(decimal.Decimal(1), [])]),
        (dict[str, Rate], {"a": Rate(datetime.datetime(2026, 1, 1), Colour.RED)}),
        (Colour | None, Colour.RED),
        (Colour | None, None),
        (tuple[Span, ...], (Span(1, 2),)),
        (int, "not what was declared, but it comes back"),
        (Any, {"a": (1,)}),
        (list[Item], []),
    ],
)
def test_a_declared_type_says_what_msgpack_can_not(annotation, value):
    values = Values("shop.total", annotation)
    assert same(value, values.given(values.kept(value)[0]))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.decimals() | st.dates() | st.datetimes(timezones=st.just(datetime.UTC) | st.none())
    | st.uuids() | st.timedeltas(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.dates(), inner),
    max_leaves=12,
)  # fmt: skip


@given(json_like)
def test_whatever_is_nested_comes_back_as_it_was(value):
    assert same(value, plain.given(plain.kept(value)[0]))


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "builtins.object"),
        ({"a": [object()]}, r"what it returned\['a'\]\[0\] is of type builtins.object"),
        (Counter("aa"), "Counter"),
        (OrderedDict(), "OrderedDict"),
        (Text("a"), "Text"),
        (Total(decimal.Decimal(1), []), "Total"),
        (Span(1, 2), "Span"),
        (Colour.RED, "Colour"),
        (Item(), "not saved"),
        (Item.objects.none(), "QuerySet"),
        (iter([]), "list_iterator"),
        (namedtuple("Local", "a")(1), "Local"),
    ],
)
def test_anything_else_is_refused_and_named(value, said):
    with pytest.raises(UncacheableResult, match=said) as found:
        plain.kept(value)
    assert "shop.total()" in str(found.value)


def test_a_class_that_is_made_otherwise_than_it_was_is_refused():
    with pytest.raises(UncacheableResult):
        Values("f", Counted).kept(Counted(1))


def test_what_holds_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(UncacheableResult):
        plain.kept(ring)


def test_another_declared_type_has_another_fingerprint():
    assert Values("f", Total).fingerprint != Values("f", Rate).fingerprint
    assert Values("f", Total).fingerprint == Values("f", Total).fingerprint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x00\xc1",
        b"\x01\x00",
        b"\x07\x00",
        b"\x02\xc7\x00\x63",
        b"\x02\xd4\x0d\xc0",
    ],
)
def test_foreign_bytes_are_corrupt(body):
    with pytest.raises(CorruptEntry):
        plain.given(body)


# -- rows of models ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_rows_come_back_as_a_fresh_read_gives_them(goods):
    item = goods[2][0]
    found = Item.objects.select_related("category").prefetch_related("labels").get(pk=item.pk)
    body, back = plain.kept({"best": found, "all": [found, None]})
    again = plain.given(body)
    for made in (back["best"], again["best"], again["all"][0]):
        fresh = Item.objects.uncached().get(pk=item.pk)
        assert type(made) is Item
        assert made == fresh
        assert vars(made).keys() == vars(fresh).keys()
        assert vars(made._state) == vars(fresh._state)
        assert all(vars(made)[name] == vars(fresh)[name] for name in vars(made) if name[0] != "_")
        assert made.category == found.category


@pytest.mark.django_db
def test_proxies_deferred_fields_and_annotations_stay_what_they_are(goods):
    item = CheapItem.objects.only("name").get(pk=goods[2][0].pk)
    item.rank = (1, decimal.Decimal("2.0"))
    made = plain.given(plain.kept(item)[0])
    assert type(made) is CheapItem
    assert made.get_deferred_fields() == item.get_deferred_fields()
    assert made.rank == item.rank
    assert made.price == 0


@pytest.mark.django_db
def test_a_row_that_was_changed_by_what_can_not_be_stored_is_refused(goods):
    item = goods[2][0]
    item.name = object()
    with pytest.raises(UncacheableResult, match=r"\.name is of type"):
        plain.kept(item)
