"""A cursor whose rows were looked at: it gives them once more, to whom they belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

try:
    from psycopg.adapt import Transformer
except ImportError:  # no PostgreSQL here, or psycopg2
    Transformer = None  # type: ignore[assignment]

Row = tuple[Any, ...]


class Refetched:
    """Stands for a driver's cursor after one statement, the rows of which were fetched already."""

    def __init__(self, cursor: Any, rows: Sequence[Row]) -> None:
        self._cursor = cursor
        self._rows = iter(rows)
        self.rowcount = len(rows)

    def fetchone(self) -> Row | None:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Row]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[Row]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def columns(cursor: Any, places: Sequence[int]) -> list[Row]:
    """Some columns of all rows, where not all of them can be read: a database holds what Python
    can not (``infinity``, a year before Christ). Raises what can not be read of these.

    Only of psycopg's cursors; raises `LookupError` for others.
    """
    result = getattr(getattr(cursor, "cursor", cursor), "pgresult", None)
    if result is None or Transformer is None:
        raise LookupError("only psycopg keeps what it has been answered")
    transformer = Transformer(cursor)
    loads = [transformer.get_loader(result.ftype(n), result.fformat(n)).load for n in places]
    return [
        tuple(
            None if (raw := result.get_value(row, n)) is None else load(raw)
            for n, load in zip(places, loads, strict=True)
        )
        for row in range(result.ntuples)
    ]
