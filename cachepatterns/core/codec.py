"""Rows as typed msgpack: exact, fast, and unable to run code.

A result is a list of rows, a row a tuple of what the database driver returned. The
types of its columns are written down as a *signature* (one letter a type, ``?`` for
NULL, columns parted by ``,``), from which a typed `msgspec` decoder is built: what
comes back has the very types that went in, or is refused. A column may mix the types
that msgpack itself tells apart: SQLite keeps the prices 5.00 and 5.25 as 5 and 5.25.

`encode_rows` decodes what it has encoded and compares; whatever would come back
otherwise (integers beyond 64 bits, datetimes with a zone other than UTC, NaN Decimals
with payloads, values of a subclass, …) raises `UnstorableValue`. There is no pickle.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_
from typing import Any, Final

import msgspec

from cachepatterns.exceptions import CorruptEntry, UnstorableValue

Row = tuple[Any, ...]

LETTERS: Final[dict[type, str]] = {
    bool: "b",
    int: "i",
    float: "f",
    str: "s",
    bytes: "y",
    decimal.Decimal: "d",
    datetime.datetime: "t",
    datetime.date: "a",
    datetime.time: "m",
    datetime.timedelta: "e",
    uuid.UUID: "u",
}
_TYPES: Final = {letter: kind for kind, letter in LETTERS.items()}
_LIST_OPEN, _LIST_CLOSE = "[", "]"
_TOLD_APART: Final = frozenset({bool, int, float, str})
"""The types that may stand in one column: on the wire no two of them look alike."""
_encoder = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="canonical")


def encode_rows(rows: Sequence[Sequence[Any]]) -> tuple[str, bytes]:
    """``(signature, body)`` of `rows`; raises `UnstorableValue` naming what can't be kept."""
    try:
        signature = _signature(rows)
        body = _encoder.encode(rows)
        back = decode_rows(signature, body)
    except (TypeError, ValueError, OverflowError, CorruptEntry) as error:
        raise UnstorableValue(f"{error}") from error
    # repr and not ==: 1 == True, Decimal("1.0") == Decimal("1.00"), nan != nan.
    if repr(back) != repr([tuple(row) for row in rows]):
        raise UnstorableValue("a value does not come back from msgpack as it went in")
    return signature, body


def decode_rows(signature: str, body: bytes) -> list[Row]:
    """The rows of a body; fresh objects at every call. Raises `CorruptEntry`."""
    try:
        return _decoder(signature).decode(body)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptEntry(f"{error}") from error


def _signature(rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    return ",".join(_column(values) for values in zip(*rows, strict=True))


def _column(values: Sequence[Any]) -> str:
    kinds = set(map(type, values))
    nullable = type(None) in kinds
    kinds.discard(type(None))
    mark = "?" if nullable else ""
    if not kinds:
        return "?"
    if len(kinds) > 1:
        if not kinds <= _TOLD_APART:
            raise UnstorableValue(f"a column mixes the types {sorted(map(repr, kinds))}")
        return mark + "".join(sorted(LETTERS[kind] for kind in kinds))
    kind = kinds.pop()
    if kind is list:
        items = [item for value in values if value is not None for item in value]
        return mark + _LIST_OPEN + (_column(items) if items else "?") + _LIST_CLOSE
    try:
        return mark + LETTERS[kind]
    except KeyError:
        raise UnstorableValue(f"values of type {kind.__qualname__} are not stored") from None


@lru_cache(maxsize=4096)
def _decoder(signature: str) -> msgspec.msgpack.Decoder[list[Row]]:
    if not signature:
        return msgspec.msgpack.Decoder(list[tuple[()]])
    columns = tuple(_type(column) for column in signature.split(","))
    return msgspec.msgpack.Decoder(list[tuple[columns]])  # type: ignore[valid-type]


def _type(column: str) -> Any:
    nullable = column.startswith("?")
    column = column.removeprefix("?")
    if not column:
        return None
    kind: Any
    if column.startswith(_LIST_OPEN):
        if not column.endswith(_LIST_CLOSE):
            raise ValueError(f"bad signature {column!r}")
        kind = list[_type(column[1:-1])]  # type: ignore[misc]
    else:
        kind = reduce(or_, (_TYPES[letter] for letter in column))
    return kind | None if nullable else kind
