"""A cursor whose rows were looked at: it gives them once more, to whom they belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

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
