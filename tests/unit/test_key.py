"""Keys tell apart whatever the database would answer otherwise, and stay short."""

import datetime
import decimal
import enum
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Binary
from psycopg.types.json import Json, Jsonb
from psycopg.types.numeric import Int4

from cachepatterns.core.key import coarsest, is_keyable, query_digest, query_key, row_key, tag_key

SQL = "SELECT 1 WHERE x = %s"
LONG = "x" * 100


def digest(*params):
    return query_digest(SQL, params)


class Colour(enum.StrEnum):
    RED = "red"


class Reticent(str):
    """A string that does not say what it holds."""

    def __repr__(self) -> str:
        return "…"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (1, 1.0),
        (0, False),
        (None, "None"),
        ("a", b"a"),
        (Int4(1), 1),
        (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
        (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)),
        ("red", Colour.RED),
        (Reticent("a"), Reticent("b")),
        ([1, 2], [12]),
        (["a", "b"], ["a, b"]),
        ([["a"], []], [[], ["a"]]),
        ([1], (1,)),
        # The driver's wrappers cut their repr after some forty characters.
        (Jsonb({"a": LONG + "1"}), Jsonb({"a": LONG + "2"})),
        (Json([1]), Jsonb([1])),
        (Binary(LONG.encode() + b"1"), Binary(LONG.encode() + b"2")),
        (memoryview(b"a"), memoryview(b"b")),
        (bytearray(b"a"), bytearray(b"b")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parameters_that_differ_in_type_or_value_have_different_digests(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Jsonb({"a": [1, LONG]}),
        lambda: Binary(b"raw"),
        lambda: memoryview(b"raw"),
        lambda: [1, "a", None],
        lambda: uuid.UUID(int=7),
        lambda: datetime.timedelta(days=1),
        lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    ],
)
def test_equal_parameters_have_equal_digests_whichever_objects_they_are(make):
    assert digest(make()) == digest(make())


@pytest.mark.parametrize(
    "value", [object(), [object()], {1, 2}, {"a": 1}], ids=lambda value: type(value).__name__
)
def test_a_value_without_a_spelling_of_its_own_is_no_part_of_a_key(value):
    assert not is_keyable(value)
    with pytest.raises(TypeError, match="no spelling"):
        digest(value)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.uuids()
)
params = st.lists(scalars | st.lists(scalars, max_size=3), max_size=4)


@given(params, params)
def test_digests_are_equal_exactly_where_types_and_values_are(one, other):
    assert all(map(is_keyable, one))
    assert (digest(*one) == digest(*other)) == (repr(one) == repr(other))


@given(params)
def test_a_digest_is_of_one_length_and_keeps_keys_within_120_bytes(values):
    key = query_key("cp", "application.modelname", "0badc0de", "0badc0de", digest(*values))
    assert len(key) <= 120


def test_a_statement_and_what_else_the_caller_names_are_part_of_the_digest():
    told = {
        query_digest("SELECT 1", ()),
        query_digest("SELECT 2", ()),
        query_digest("SELECT 1", (), "single"),
        query_digest("SELECT 1", (), "multi"),
    }
    assert len(told) == 4


def test_lone_surrogates_are_digested_like_any_text():
    assert digest("\ud800") != digest("\ud801")


def test_kinds_of_keys_never_meet():
    keys = {
        row_key("cp", "app.item", "5c", "db", "7"),
        query_key("cp", "app.item", "5c", "db", "7"),
        tag_key("cp", "app.item@db:pk=7"),
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("tag", "coarse"),
    [
        ("app.item@db:pk=7", "app.item@db"),
        ("app.item@db:*", "app.item@db"),
        ("app.item@db", "app.item@db"),
        ("#catalog:5", "#catalog"),
        ("#catalog", "#catalog"),
    ],
)
def test_every_tag_key_leads_to_the_one_that_covers_it(tag, coarse):
    assert coarsest(tag_key("some:prefix", tag)) == tag_key("some:prefix", coarse)
