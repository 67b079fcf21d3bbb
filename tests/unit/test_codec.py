"""What comes back from the codec is what went in, to the type and the `repr`, or is refused."""

import datetime
import decimal
import uuid
import zoneinfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cachepatterns.core.codec import decode_rows, encode_rows
from cachepatterns.exceptions import CorruptEntry, UnstorableValue

UTC = datetime.UTC
ZONES = [UTC, zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Europe/Berlin")]

integers = st.integers() | st.sampled_from([2**63, 2**63 - 1, -(2**63), 2**64 - 1, 2**64])
decimals = st.decimals() | st.sampled_from(
    [decimal.Decimal(text) for text in ("1.00", "-0", "1E+3", "0E-10", "NaN", "sNaN", "-Infinity")]
)
moments = st.datetimes(allow_imaginary=False) | st.datetimes(
    timezones=st.sampled_from(ZONES), allow_imaginary=False
)
columns = [
    st.booleans(),
    integers,
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    decimals,
    moments,
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.integers() | st.floats() | st.booleans(),
    st.lists(st.integers()),
    st.lists(st.lists(st.text())),
    st.tuples(st.integers()),
    st.dictionaries(st.text(), st.integers()),
]


@st.composite
def tables(draw):
    """Rows of one shape, as a driver returns them: each column of one kind, or NULL."""
    shape = draw(st.lists(st.sampled_from(columns), min_size=1, max_size=4))
    return draw(st.lists(st.tuples(*(st.none() | column for column in shape)), max_size=4))


@given(tables())
def test_rows_come_back_with_the_same_types_and_reprs_or_are_refused(rows):
    try:
        signature, body = encode_rows(rows)
    except UnstorableValue:
        return
    back = decode_rows(signature, body)
    assert repr(back) == repr(rows)
    assert [list(map(type, row)) for row in back] == [list(map(type, row)) for row in rows]


@given(tables())
def test_every_decoding_gives_fresh_objects(rows):
    try:
        signature, body = encode_rows(rows)
    except UnstorableValue:
        assume(False)
    one, other = decode_rows(signature, body), decode_rows(signature, body)
    for row in one:
        for value in row:
            if isinstance(value, list):
                value.append("spoilt")
    assert repr(other) == repr(rows)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        2**64 - 1,
        -(2**63),
        -0.0,
        float("inf"),
        float("nan"),
        "",
        "\x00\U0001f33b",
        b"",
        b"\xff\x00",
        decimal.Decimal("1.00"),
        decimal.Decimal("1E+3"),
        decimal.Decimal("-0"),
        decimal.Decimal("NaN"),
        decimal.Decimal("sNaN"),
        decimal.Decimal("-Infinity"),
        datetime.datetime(2026, 1, 1, tzinfo=UTC),
        datetime.datetime(1, 1, 1, tzinfo=UTC),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
        datetime.timedelta(days=-3, microseconds=7),
        datetime.time(23, 59, 59, 999999),
        uuid.UUID(int=0),
        [],
        [1, None, 2],
        [["a"], []],
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_databases_return_is_storable(value):
    assert repr(decode_rows(*encode_rows([(value,)]))) == repr([(value,)])


class Text(str):
    pass


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
        datetime.datetime(2026, 10, 25, 2, 30, fold=1),
        datetime.time(1, 2, fold=1),
        (1, 2),
        [(1, 2)],
        {"a": 1},
        {1},
        "\ud800",
        Text("a"),
        Number(1),
        [1, datetime.date(2026, 1, 1)],
        object(),
        memoryview(b"a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_otherwise_is_refused(value):
    with pytest.raises(UnstorableValue):
        encode_rows([(value,)])


def test_a_column_may_mix_what_msgpack_tells_apart():
    rows = [(5,), (5.25,), (None,), (True,), ("5",)]
    assert repr(decode_rows(*encode_rows(rows))) == repr(rows)


@pytest.mark.parametrize(
    "rows",
    [
        [("a",), (b"a",)],
        [("1.0",), (decimal.Decimal("1.0"),)],
        [(1,), (datetime.date(2026, 1, 1),)],
        [(datetime.date(2026, 1, 1),), (datetime.datetime(2026, 1, 1),)],
        [([1],), (1,)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_column_of_types_that_look_alike_on_the_wire_is_refused(rows):
    with pytest.raises(UnstorableValue, match="mixes"):
        encode_rows(rows)


@pytest.mark.parametrize("rows", [[], [()], [(), ()], [(None, None)]], ids=repr)
def test_rows_without_rows_columns_or_values_come_back_too(rows):
    assert decode_rows(*encode_rows(rows)) == rows


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(UnstorableValue):
        encode_rows([(1,), (1, 2)])


def test_lists_of_rows_are_stored_as_the_tuples_a_driver_would_return():
    assert decode_rows(*encode_rows([[1, "a"]])) == [(1, "a")]


HOSTILE_SIGNATURES = ["[" * 400 + "i" + "]" * 400, "[" * 9000, "]", "[", "?", "x", ",,,", "[i]j"]


@pytest.mark.parametrize("signature", [*HOSTILE_SIGNATURES, "su", "ut", "?" * 50, "i,"], ids=repr)
@pytest.mark.parametrize("body", [b"\x91\x91\x01", b"\x91\x90", b"", b"\xdd\xff\xff\xff\xff"])
def test_a_signature_that_does_not_fit_is_corrupt_and_nothing_else(signature, body):
    try:
        rows = decode_rows(signature, body)
    except CorruptEntry:
        return
    assert all(isinstance(row, tuple) for row in rows)


def test_values_of_another_type_than_the_signature_says_are_corrupt():
    _, body = encode_rows([("a",)])
    for signature in ("i", "u", "t", "[s]", "s,s", ""):
        with pytest.raises(CorruptEntry):
            decode_rows(signature, body)


@given(st.sampled_from(["i", "?s", "d", "t,a,m", "e,u", "[i]", "?[?s]", "bfi"]), st.binary())
def test_random_bytes_are_decoded_or_corrupt_and_nothing_else(signature, body):
    try:
        rows = decode_rows(signature, body)
    except CorruptEntry:
        return
    assert isinstance(rows, list)
