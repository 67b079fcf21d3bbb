"""Asking the database again: what was kept beside an entry, and the two answers side by side."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import models

from cachepatterns.core.asked import RAW, Asked
from cachepatterns.core.codec import Row
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.read.statement import told


def answer(question: Asked, model: type[models.Model], using: str) -> list[Row]:
    """What the database says now, as `comparable` shows what the entry of `model` says.

    Raises Django's `DatabaseError`.
    """
    return comparable(told(question, model, using)(), question)


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
