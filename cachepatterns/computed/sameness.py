"""Whether two values are the same: equal, of the same types, all the way down.

``==`` is not enough: ``(1, 2)`` is no list, ``True == 1``, and two Decimals or two moments may be
equal and show differently.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from django.db import models


def same(one: Any, other: Any) -> bool:
    """Whether nothing tells them apart but where they stand in memory."""
    kind = type(one)
    if kind is not type(other):
        return False
    judge = _JUDGES.get(kind)
    if judge is not None:
        return judge(one, other)
    if isinstance(one, enum.Enum):
        return one is other
    if isinstance(one, models.Model):
        return same_rows(one, other)
    if isinstance(one, msgspec.Struct):
        names: Iterable[str] = one.__struct_fields__
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if dataclasses.is_dataclass(one):
        return _same_state(one, other)
    if isinstance(one, tuple):  # a named one
        return _in_order(one, other)
    return isinstance(one, str) and str(one) == str(other) and not _state(one)


def same_rows(one: models.Model, other: models.Model) -> bool:
    """Whether they hold the same of one row; what was fetched beside it does not count."""
    mine, theirs = _columns(one), _columns(other)
    return (
        one._state.db == other._state.db
        and mine.keys() == theirs.keys()
        and all(same(mine[name], theirs[name]) for name in mine)
    )


def _columns(row: models.Model) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        is_file = isinstance(value, models.fields.files.FieldFile)
        return value.name if is_file else value

    return {name: plain(value) for name, value in vars(row).items() if not name.startswith("_")}


def _state(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def _same_state(one: Any, other: Any) -> bool:
    names = [field.name for field in dataclasses.fields(one)]
    return (
        _state(one).keys() == _state(other).keys()
        and all(hasattr(one, name) and hasattr(other, name) for name in names)
        and all(same(getattr(one, name), getattr(other, name)) for name in names)
        and all(same(value, _state(other)[name]) for name, value in _state(one).items())
    )


def _in_order(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def _same_sets(one: Any, other: Any) -> bool:
    return one == other and sorted(map(_told, one)) == sorted(map(_told, other))


def _told(value: Any) -> str:
    return f"{type(value).__qualname__}{value!r}"


def _same_dicts(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    return _in_order([*one], [*other]) and _in_order([*one.values()], [*other.values()])


def _same_moments(one: Any, other: Any) -> bool:
    return repr(one) == repr(other) and one.fold == other.fold


def _by_repr(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # tells 0.0 from -0.0, and takes NaN for NaN


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other)


_JUDGES: dict[type, Callable[[Any, Any], bool]] = {
    type(None): _equal,
    bool: _equal,
    int: _equal,
    str: _equal,
    bytes: _equal,
    float: _by_repr,
    decimal.Decimal: _by_repr,
    datetime.datetime: _same_moments,
    datetime.date: _equal,
    datetime.time: _same_moments,
    datetime.timedelta: _equal,
    uuid.UUID: _equal,
    list: _in_order,
    tuple: _in_order,
    set: _same_sets,
    frozenset: _same_sets,
    dict: _same_dicts,
}
