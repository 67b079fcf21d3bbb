"""Rows as typed msgpack: exact, fast, and unable to run code.

A result is a list of rows, a row a tuple of what the database driver returned. The
types of its columns are written down as a *signature*, from which a typed `msgspec` decoder
is built: what comes back has the very types that went in, or is refused. A column is one
letter, ``[…]`` for a list, ``?`` before what may be NULL, ``-`` where all is. ``(fi)`` mixes
types that msgpack itself tells apart: SQLite keeps the prices 5.00 and 5.25 as 5 and 5.25.

`encode_rows` decodes what it has encoded and compares; whatever would come back
otherwise (integers beyond 64 bits, datetimes with a zone other than UTC, NaN Decimals
with payloads, values of a subclass, …) raises `UnstorableValue`. There is no pickle.
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Callable, Sequence
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
_LIST_OPEN, _LIST_CLOSE, _NULL = "[", "]", "-"
_COLUMN: Final = re.compile(r"-|\??(?:(?:\[\??)++[^\[\]]*+\]++|\([a-z]++\)|[a-z])")
_TOLD_APART: Final = frozenset({bool, int, float, str})
"""The types that may stand in one column: on the wire no two of them look alike."""
_TOLD_BY_EQUALITY: Final = frozenset(
    mark + letter for letter in ("b", "i", "s", "y", "a", "e", "u", "f") for mark in ("", "?")
) | {_NULL}
"""Columns of one type, of which equal values are the same (a float's bytes travel as they are)."""
_KINDS_KEPT: Final = 4
UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError)
_encoder = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="canonical")


def encode_rows(rows: Sequence[Sequence[Any]]) -> tuple[str, bytes]:
    """``(signature, body)`` of `rows`; raises `UnstorableValue` naming what can't be kept."""
    try:
        signature = _signature(rows)
        body = _encoder.encode(rows)
        back = decode_rows(signature, body)
    except (TypeError, ValueError, OverflowError, CorruptEntry) as error:
        raise UnstorableValue(f"{error}") from error
    if not _is_same([tuple(row) for row in rows], back, signature):
        raise UnstorableValue("a value does not come back from msgpack as it went in")
    return signature, body


def decode_rows(signature: str, body: bytes) -> list[Row]:
    """The rows of a body; fresh objects at every call. Raises `CorruptEntry`."""
    try:
        return decoder(signature)(body)
    except UNDECODABLE as error:
        raise CorruptEntry(f"{error}") from error


def _is_same(rows: list[Row], back: list[Row], signature: str) -> bool:
    """Whether what came back is what went in: of the same types it is, by the signature.

    ``==`` is not enough: Decimal("1.0") == Decimal("1.00"), and so are the same moment in two
    zones; and too much: nan != nan.
    """
    try:
        if rows == back:
            return all(
                is_same([row[at] for row in rows], [row[at] for row in back])
                for at, is_same in _more_than_equal(signature)
            )
    except ArithmeticError:  # a signalling NaN is compared with nothing
        pass
    return repr(rows) == repr(back)


@lru_cache(maxsize=1024)
def _more_than_equal(signature: str) -> tuple[tuple[int, Callable[[Any, Any], bool]], ...]:
    """The columns that may hold two values that are equal and not the same, and what tells."""
    return tuple(
        (at, _MORE_THAN_EQUAL.get(column, _same_reprs))
        for at, column in enumerate(_columns(signature))
        if column not in _TOLD_BY_EQUALITY
    )


def _same_decimals(one: list[Any], other: list[Any]) -> bool:
    return not any(map(decimal.Decimal.compare_total, one, other))


def _same_moments(one: list[Any], other: list[Any]) -> bool:
    return all(
        a.tzinfo is b.tzinfo and a.fold == b.fold for a, b in zip(one, other, strict=True)
    ) or _same_reprs(one, other)


def _same_reprs(one: list[Any], other: list[Any]) -> bool:
    return repr(one) == repr(other)


def _but_for_null(is_same: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def is_same_or_null(one: list[Any], other: list[Any]) -> bool:
        return is_same(
            [value for value in one if value is not None],
            [value for value in other if value is not None],
        )

    return is_same_or_null


_MORE_THAN_EQUAL: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "d": _same_decimals,
    "?d": _but_for_null(_same_decimals),
    "t": _same_moments,
    "?t": _but_for_null(_same_moments),
}


def _signature(rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    # Most rows of a result are of few kinds.
    kinds = frozenset([tuple(map(type, row)) for row in rows])
    if len(kinds) <= _KINDS_KEPT and not any(list in kind for kind in kinds):
        return _signature_of(kinds)
    return "".join(_column(values) for values in zip(*rows, strict=True))


@lru_cache(maxsize=1024)
def _signature_of(kinds: frozenset[tuple[type, ...]]) -> str:
    return "".join(_of_types(set(types)) for types in zip(*kinds, strict=True))


def _columns(signature: str) -> list[str]:
    found, at = [], 0
    while at < len(signature):
        column = _COLUMN.match(signature, at)
        if column is None:
            raise ValueError(f"bad signature {signature[:40]!r}")
        found.append(column.group())
        at = column.end()
    return found


def _column(values: Sequence[Any]) -> str:
    kinds = set(map(type, values))
    if kinds in ({list}, {list, type(None)}):
        items = [item for value in values if value is not None for item in value]
        mark = "?" if type(None) in kinds else ""
        return mark + _LIST_OPEN + (_column(items) if items else _NULL) + _LIST_CLOSE
    return _of_types(kinds)


def _of_types(kinds: set[type]) -> str:
    mark = "?" if type(None) in kinds else ""
    kinds = kinds - {type(None)}
    if not kinds:
        return _NULL
    if len(kinds) > 1:
        if not kinds <= _TOLD_APART:
            raise UnstorableValue(f"a column mixes the types {sorted(map(repr, kinds))}")
        return f"{mark}({''.join(sorted(LETTERS[kind] for kind in kinds))})"
    (kind,) = kinds
    try:
        return mark + LETTERS[kind]
    except KeyError:
        raise UnstorableValue(f"values of type {kind.__qualname__} are not stored") from None


@lru_cache(maxsize=4096)
def decoder(signature: str) -> Callable[[bytes], list[Row]]:
    """`decode_rows` of one signature. Both this and what it gives raise one of `UNDECODABLE`."""
    if not signature:
        return msgspec.msgpack.Decoder(list[tuple[()]]).decode
    columns = tuple(_type(column) for column in _columns(signature))
    return msgspec.msgpack.Decoder(list[tuple[columns]]).decode  # type: ignore[valid-type]


def _type(column: str) -> Any:
    if column == _NULL:
        return None
    nullable = column.startswith("?")
    column = column.removeprefix("?")
    kind: Any
    if column.startswith(_LIST_OPEN):
        if not column.endswith(_LIST_CLOSE):
            raise ValueError(f"bad signature {column!r}")
        kind = list[_type(column[1:-1])]  # type: ignore[misc]
    else:
        kind = reduce(or_, (_TYPES[letter] for letter in column.strip("()")))
    return kind | None if nullable else kind
