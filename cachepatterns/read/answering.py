"""Asking the database again: what was kept beside an entry, and the two answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, models
from django.db.models import sql

from cachepatterns.core.asked import AGGREGATES, EXISTS, RAW, Asked
from cachepatterns.core.codec import Row
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.read.direct import AGGREGATES as KINDS

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in KINDS}


def answer(question: Asked, model: type[models.Model], using: str) -> list[Row]:
    """What the database says now, as `comparable` shows what the entry of `model` says.

    Raises Django's `DatabaseError`.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(question.sql, _driver_values(question))
        rows = cursor.fetchmany(1) if question.single else cursor.fetchall()
        names = tuple(column[0] for column in cursor.description or ())
    if question.form == EXISTS:
        return [(1,)] if rows else []
    if question.form == RAW:
        return [(*names, *row) for row in rows]
    found = [tuple(row[: question.columns]) for row in rows]
    return _converted(found, question, model, using) if question.form == AGGREGATES else found


def comparable(rows: Sequence[Row], question: Asked) -> list[Row]:
    """The rows of an entry, one for each of the answer's; raises `CorruptEntry`.

    Of raw SQL an entry holds the columns; each row is shown after its columns' names, for the
    names are part of what is served.
    """
    if question.form != RAW:
        return list(rows)
    try:
        ((names, *columns),) = rows
        return [(*names, *row) for row in zip(*columns, strict=True)]
    except (TypeError, ValueError) as error:
        raise CorruptEntry(f"no result of raw SQL: {error}") from error


def _converted(
    rows: list[Row], question: Asked, model: type[models.Model], using: str
) -> list[Row]:
    """Numbers as `aggregate()` gives them, and entries hold them."""
    query = sql.Query(model)
    columns = [
        _KINDS[kind](column).resolve_expression(query) for kind, column in question.aggregates
    ]
    compiler = query.get_compiler(using)
    converters = compiler.get_converters(columns)
    return [tuple(row) for row in compiler.apply_converters(rows, converters)]


def _driver_values(question: Asked) -> Any:
    """The parameters as they were sent, in the driver's own types."""
    values = question.parameters()
    if any(question.kinds):
        from psycopg.types import numeric

        pairs = zip(values, question.kinds, strict=True)
        values = [getattr(numeric, kind)(value) if kind else value for value, kind in pairs]
    return dict(zip(question.names, values, strict=True)) if question.names else values
