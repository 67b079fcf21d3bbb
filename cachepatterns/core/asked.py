"""What was asked, kept beside a share of the entries, so that it can be asked again.

The key of a query's entry is a digest: it does not say what to ask the database to find out
whether the entry is right. So a share of the stores (``VERIFY_SHARE``) also keeps the statement,
its parameters and what it rests on, under a key of its own, in the same round trip. `verdict`
compares an entry with a new answer; what the database may answer in more than one way is never
held against it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cachepatterns.core.codec import Row, decode_rows, encode_rows
from cachepatterns.exceptions import CorruptEntry, UnstorableValue

FRESH, STALE, UNKNOWN = "fresh", "stale", "unknown"

ROWS, EXISTS, AGGREGATES, RAW = "rows", "exists", "aggregates", "raw"
"""What an entry holds of the answer: its rows as they came; whether there is one; numbers as
Django converts them; the columns' names and then the values of each column, in one row."""

_FORMAT: Final = 2
_CHOOSES = re.compile(
    r"""(?<!["`])\b(LIMIT|FETCH|OFFSET|DISTINCT\s+ON)\b(?!["`])""", re.IGNORECASE
)
_LIMIT = re.compile(r"\bLIMIT (\d+)\Z")
_ARBITRARY = re.compile(r"\b(ARRAY_AGG|STRING_AGG|GROUP_CONCAT|JSONB?_AGG|OVER)\b", re.IGNORECASE)
"""Aggregates and windows whose answer depends on an order that need not be given."""
_MOVES = re.compile(
    r"""
    \b(NOW|(CLOCK|STATEMENT|TRANSACTION)_TIMESTAMP|TIMEOFDAY|SYSDATE|CURDATE|CURTIME|UTC_\w+
      |RAND|RANDOM\w*|GEN_RANDOM_\w+|UUID\w*|NEXTVAL)\s*\(
    |(?<!["`])\b(CURRENT_(DATE|TIME|TIMESTAMP)|LOCALTIME|LOCALTIMESTAMP)\b
    |'(NOW|TODAY|TOMORROW|YESTERDAY)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What answers otherwise from moment to moment. Only raw SQL, whose author says that it may be
kept, has it."""


class Asked(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One question. ``columns``: how many of each row count (`None`: all); ``single``: only the
    first row was fetched; ``ordered``: its order is told to the last row."""

    format: int = _FORMAT
    using: str
    sql: str
    kinds: list[str]
    """The parameters' own types where they are the driver's, by name; else empty."""
    signature: str
    params: bytes
    stamps: list[str]
    guards: list[str]
    """The keys of what the answer rests on."""
    single: bool
    columns: int | None
    ordered: bool
    form: str = ROWS
    aggregates: list[tuple[str, str]] = []
    """Of `AGGREGATES`: each by its kind and its column."""
    names: list[str] = []
    """The parameters' names, where they have some."""

    def parameters(self) -> list[Any]:
        """The parameters as plain values. Raises `CorruptEntry`."""
        return list(decode_rows(self.signature, self.params)[0])


def pack(
    using: str,
    sql: str,
    params: Sequence[Any],
    *,
    stamps: Sequence[str],
    guards: Sequence[str],
    single: bool,
    columns: int | None,
    ordered: bool,
    form: str = ROWS,
    aggregates: Sequence[tuple[str, str]] = (),
    names: Sequence[str] = (),
) -> bytes:
    """The bytes of a question; raises `UnstorableValue` for parameters that can't be kept."""
    plain, kinds = [], []
    for value in params:
        value, kind = _plain(value)
        plain.append(value)
        kinds.append(kind)
    signature, body = encode_rows([plain])
    return _encoder.encode(
        Asked(
            using=using,
            sql=sql,
            kinds=kinds,
            signature=signature,
            params=body,
            stamps=list(stamps),
            guards=list(guards),
            single=single,
            columns=columns,
            ordered=ordered,
            form=form,
            aggregates=list(aggregates),
            names=list(names),
        )
    )


def unpack(payload: bytes) -> Asked:
    """The question that `pack` made; raises `CorruptEntry` for anything else."""
    try:
        asked = _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptEntry(f"{error}") from error
    if asked.format != _FORMAT:
        raise CorruptEntry(f"question format {asked.format}, this is {_FORMAT}")
    return asked


def verdict(cached: Sequence[Row], found: Sequence[Row], sql: str, *, ordered: bool) -> str:
    """Whether `cached` could be what the database answers, now that it answers `found`.

    Order counts only where it is told to the last row; of a slice whose order is not, only the
    number of rows can be wrong.
    """
    try:
        found = decode_rows(*encode_rows(list(found)))
    except UnstorableValue:
        return UNKNOWN
    ours, theirs = list(map(_spelled, cached)), list(map(_spelled, found))
    if ours == theirs:
        return FRESH
    if Counter(ours) == Counter(theirs):
        return STALE if ordered else FRESH
    if _MOVES.search(sql):
        return UNKNOWN
    if _ARBITRARY.search(sql) or not (ordered or _shows_all(len(theirs), sql)):
        return STALE if len(ours) != len(theirs) else UNKNOWN
    return STALE


def difference(cached: Sequence[Row], found: Sequence[Row]) -> str:
    """The first row in which they differ, as each has it; for people."""
    pairs = zip([*cached, None], [*found, None], strict=False)
    ours, theirs = next((pair for pair in pairs if pair[0] != pair[1]), (None, None))
    return f"cached {ours!r:.300}, database {theirs!r:.300}"


def _shows_all(count: int, sql: str) -> bool:
    """Whether a statement that returns `count` rows leaves none out by choice."""
    limit = _LIMIT.search(sql)
    choices = len(_CHOOSES.findall(sql))
    return not choices or (choices == 1 and limit is not None and count < int(limit[1]))


def _spelled(row: Row) -> str:
    # The last digits of a sum of floats depend on the order in which they were added.
    return repr([format(value, ".9g") if type(value) is float else value for value in row])


def _plain(value: Any) -> tuple[Any, str]:
    """A parameter as the type it is a kind of, and the name of its own type if that is the
    driver's (``Int4``), which says how it is sent."""
    kind = type(value)
    for base in (int, str, float):
        if isinstance(value, base) and kind not in (base, bool):
            driver = kind.__module__.startswith("psycopg.")
            return base(value), kind.__name__ if driver else ""
    return value, ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Asked)
