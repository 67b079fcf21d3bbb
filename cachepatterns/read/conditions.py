"""Conditions, as a shape tells them: what is compared with what, without the values.

Allowed by name, as everything in a shape: a lookup or a kind of value that is not known here makes
the query shapeless.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.fields import related_lookups
from django.db.models.sql.where import WhereNode

from cachepatterns.core.sqltext import may_mean_now

_TIMES = (datetime.datetime, datetime.time)
"""Characters; what is longer is no name of a time, even amid blanks."""

MAX_VALUES = 256
"""An ``IN`` list with more values is compiled: its memo would be used once."""


class Shapeless(Exception):
    """Something in the query is not known here."""


def lookups_of(query: Any) -> Iterator[Any]:
    """The lookups in the conditions of a query that has a shape."""
    nodes = [query.where]
    while nodes:
        for child in nodes.pop().children:
            if type(child) is WhereNode:
                nodes.append(child)
            else:
                yield child


def where(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    """Append what a tree of conditions is to `shape`, and its values to `values`."""
    if type(found) is not WhereNode:
        raise Shapeless(name)
    shape.append((found.connector, found.negated, len(found.children)))
    for child in found.children:
        if type(child) is WhereNode:
            where(name, child, shape, values)
        else:
            condition(child, shape, values)


def condition(lookup: Any, shape: list[Any], values: list[Any]) -> None:
    """The same of one lookup."""
    kind = type(lookup)
    take = _LOOKUPS.get(kind)
    if take is None or lookup.bilateral_transforms:
        raise Shapeless(kind)
    shape.append(kind)
    shape.append(column(lookup.lhs))
    take(lookup.rhs, shape, values)


def column(found: Any) -> tuple[Any, ...]:
    """A plain column; raises `Shapeless` for anything else."""
    if type(found) is not Col:
        raise Shapeless(found)
    target = found.target
    kinds: list[Any] = [type(field) for field in referred(target)]
    if not all(map(_sends_what_is_prepared, kinds)):
        raise Shapeless(target)
    return found.alias, target.column, target.model


def referred(field: Any) -> list[Any]:
    """A field, and those that it refers to: a key's values are sent, and given, as theirs."""
    found = [field]
    while found[-1].remote_field is not None:
        found.append(found[-1].target_field)
    return found


@lru_cache(maxsize=1024)
def _sends_what_is_prepared(field: Any) -> bool:
    """Whether what a lookup holds is all that decides what is sent: somebody else's
    `get_db_prep_value` may go by the language."""
    return str(field.get_db_prep_value.__module__).startswith("django.")


def _one(value: Any, shape: list[Any], values: list[Any]) -> None:
    kind = type(value)
    if kind is bool:
        shape.append(value)  # some databases write a condition otherwise for each
    elif kind in _SCALARS and not (kind is str and may_mean_now(value)):
        if kind in _TIMES and not _has_plain_zone(value):
            raise Shapeless(kind)
        shape.append(kind)
        values.append(value)
    else:
        raise Shapeless(kind)


def _has_plain_zone(moment: datetime.datetime | datetime.time) -> bool:
    """Whether the `repr` tells the zone: that of some is but an address, or a file's."""
    zone = moment.tzinfo
    if type(zone) is ZoneInfo:
        return zone.key is not None
    return zone is None or type(zone) is datetime.timezone


def _many(given: Any, shape: list[Any], values: list[Any]) -> None:
    if type(given) not in (list, tuple) or not 0 < len(given) <= MAX_VALUES:
        raise Shapeless("values")
    shape.append(len(given))
    for value in given:
        _one(value, shape, values)


def _is_null(value: Any, shape: list[Any], values: list[Any]) -> None:
    if type(value) is not bool:
        raise Shapeless("isnull")
    shape.append(value)


_SCALARS = frozenset(
    {
        int,
        str,
        float,
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
    }
)
"""Of these the key spells the whole value; no subclass, which may compare as it likes."""

_LOOKUPS: dict[type, Callable[[Any, list[Any], list[Any]], None]] = {
    **dict.fromkeys(
        (
            lookups.Exact,
            lookups.IExact,
            lookups.GreaterThan,
            lookups.GreaterThanOrEqual,
            lookups.LessThan,
            lookups.LessThanOrEqual,
            lookups.IntegerFieldExact,
            lookups.IntegerGreaterThan,
            lookups.IntegerGreaterThanOrEqual,
            lookups.IntegerLessThan,
            lookups.IntegerLessThanOrEqual,
            lookups.Contains,
            lookups.IContains,
            lookups.StartsWith,
            lookups.IStartsWith,
            lookups.EndsWith,
            lookups.IEndsWith,
            related_lookups.RelatedExact,
            related_lookups.RelatedGreaterThan,
            related_lookups.RelatedLessThan,
        ),
        _one,
    ),
    lookups.In: _many,
    related_lookups.RelatedIn: _many,
    lookups.IsNull: _is_null,
    related_lookups.RelatedIsNull: _is_null,
}
