"""What tells one argument from every other one, in every process and at any time.

A spelling holds an argument's type and all of its value: 1, ``True``, ``"1"`` and
``Decimal("1")`` differ, and so do two sets or dictionaries only where their items do. What has no
such spelling (objects that are known by where they stand in memory, functions, rows that were
never saved, NaN) is refused.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from django.db import models
from django.utils.functional import LazyObject

from cachepatterns.replicas import primary_alias

_SCALARS = (str, int, bytes, uuid.UUID, datetime.timedelta)
"""Types whose own ``repr`` says all of a value."""


class NoIdentityError(Exception):
    """Of a value that nothing tells from another; says what it is."""


def spelled(value: Any) -> str:
    """A value's type and all of its value; raises `NoIdentityError`."""
    try:
        return _spelled(value)
    except RecursionError:
        raise NoIdentityError("a value that holds itself") from None


def _spelled(value: Any) -> str:
    kind = type(value)
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value)
    if issubclass(kind, LazyObject):  # such as `request.user`
        value.__class__  # noqa: B018 - has it look behind itself
        return _spelled(value._wrapped)
    if isinstance(value, models.Model):
        return _instance(value)
    if isinstance(value, enum.Enum):
        return f"{_name(kind)}.{value.name}" if value.name else _refuse(value)
    if isinstance(value, type):
        return _class(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return _many(_name(kind), [getattr(value, name) for name in names])
    if isinstance(value, msgspec.Struct):
        return _many(_name(kind), [getattr(value, name) for name in value.__struct_fields__])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _many(_name(kind), value)
    if isinstance(value, zoneinfo.ZoneInfo) and value.key:
        return f"zone:{value.key}"
    for scalar in _SCALARS:
        if isinstance(value, scalar):  # such as a `SafeString`
            return f"{_name(kind)}:{scalar.__repr__(value)}"
    if _name(kind) == "django.contrib.auth.models.AnonymousUser":
        return "anonymous"
    return _refuse(value)


def _refuse(value: Any) -> str:
    raise NoIdentityError(f"{_article(type(value).__qualname__)}, which has no stable identity")


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def _name(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise NoIdentityError(f"of {kind.__qualname__}, a class that has no name of its own")
    return f"{kind.__module__}.{kind.__qualname__}"


def _class(value: type) -> str:
    if issubclass(value, models.Model):
        return f"model:{value._meta.label_lower}"
    return f"class:{_name(value)}"


def _instance(value: models.Model) -> str:
    meta = value._meta
    if value._state.adding or value.pk is None:
        raise NoIdentityError(f"{_article(meta.object_name or '')} that is not saved")
    database = primary_alias(value._state.db or "default")
    return _many(f"row:{meta.label_lower}@{database}", [value.pk])


def _many(name: str, items: Iterable[Any]) -> str:
    # Each item with its length: no item can pretend to be two.
    told = [_spelled(item) for item in items]
    return f"{name}({''.join(f'{len(item)}:{item}' for item in told)})"


def _unordered(name: str, told: Iterable[str]) -> str:
    return f"{name}({''.join(f'{len(item)}:{item}' for item in sorted(told))})"


def _float(value: float) -> str:
    if math.isnan(value):
        raise NoIdentityError("NaN, which equals nothing, not even itself")
    return f"f{value!r}"


def _decimal(value: decimal.Decimal) -> str:
    if value.is_nan():
        raise NoIdentityError("NaN, which equals nothing, not even itself")
    return f"d{value}"


def _moment(value: datetime.datetime) -> str:
    zone = getattr(value.tzinfo, "key", "") or ""
    return f"t{value.isoformat()}/{value.fold}/{zone}"


_PLAIN: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "n",
    bool: lambda value: f"b{value:d}",
    int: lambda value: f"i{value}",
    str: lambda value: f"s{value}",
    bytes: lambda value: f"y{value.hex()}",
    float: _float,
    decimal.Decimal: _decimal,
    datetime.datetime: _moment,
    datetime.date: lambda value: f"a{value.isoformat()}",
    datetime.time: lambda value: f"m{value.isoformat()}/{value.fold}",
    datetime.timedelta: lambda value: f"e{value.days}/{value.seconds}/{value.microseconds}",
    uuid.UUID: lambda value: f"u{value.hex}",
    tuple: lambda value: _many("tuple", value),
    list: lambda value: _many("list", value),
    set: lambda value: _unordered("set", map(_spelled, value)),
    frozenset: lambda value: _unordered("frozenset", map(_spelled, value)),
    dict: lambda value: _unordered("dict", (_many("", item) for item in value.items())),
}
