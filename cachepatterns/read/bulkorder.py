"""The order of what `in_bulk()` gives, of models that have one.

Django asks for the rows in the order of ``Meta.ordering``, and its dictionary keeps that. Rows
that are found one by one come as they were asked for, and are put into that order here, where
Python has no other idea of it than the database: a text's, say, is the collation's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.db import models

from cachepatterns.policy import AUTO_FIELDS, INTEGER_FIELDS

_ALIKE = frozenset(
    (*INTEGER_FIELDS, *AUTO_FIELDS, models.BooleanField, models.DateField, models.DateTimeField)
)
"""Fields whose values Python orders as every database does, if they are none of them `NULL`."""

Steps = tuple[tuple[str, bool], ...]
"""The attributes to order by, and whether downwards."""


def steps_of(model: Any) -> Steps | None:
    """How rows of `model` are ordered; `None` where only the database can say it."""
    ordering = model._meta.ordering
    if not ordering:
        return ()
    if set(map(type, ordering)) != {str}:
        return None
    return _steps(model, tuple(ordering))


def in_order(found: dict[Any, Any], steps: Steps) -> dict[Any, Any]:
    """The instances of `found`, by the same keys, in that order."""
    items = list(found.items())
    for name, is_downwards in reversed(steps):
        items.sort(key=_by(name), reverse=is_downwards)
    return dict(items)


def _by(name: str) -> Callable[[tuple[Any, Any]], Any]:
    value = operator.attrgetter(name)
    return lambda item: value(item[1])


@lru_cache(maxsize=1024)
def _steps(model: Any, ordering: tuple[str, ...]) -> Steps | None:
    meta = model._meta
    fields = {field.name: field for field in meta.concrete_fields} | {"pk": meta.pk}
    found = []
    for name in ordering:
        field: Any = fields.get(name.removeprefix("-"))
        if type(field) not in _ALIKE or field.null:
            return None
        found.append((field.attname, name.startswith("-")))
    return tuple(found)
