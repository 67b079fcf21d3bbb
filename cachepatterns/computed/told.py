"""Msgpack whose values say what they are, where msgpack itself does not know their types.

Each such value is one of msgpack's extensions: a number for its type, and its parts. Rows of
models are rebuilt by `from_db`, as a fresh read would: what was fetched beside them
(`select_related`, prefetches) is fetched again when it is asked for.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import msgspec
from django.apps import apps
from django.db import models
from django.db.models.fields.files import FieldFile
from django.utils.safestring import SafeString, mark_safe

from cachepatterns.read.instances import maker

_DEPTH = 100
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_INT64 = range(-(2**63), 2**64)


class NotToldError(Exception):
    """Of a value that there is no way to tell; says which."""


def encode(value: Any) -> bytes:
    """The bytes of `value`; raises `NotToldError`."""
    return _encoder.encode(_told(value, "what it returned", 0))


def decode(body: bytes | memoryview) -> Any:
    """What `encode` was given, made anew."""
    return _decoder.decode(body)


def _told(value: Any, place: str, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _DEPTH:
        raise NotToldError(f"{place} is nested too deeply, or holds itself")
    if kind is int:
        return value if value in _INT64 else _extension(int, str(value))
    depth += 1
    if kind is list:
        return [_told(item, f"{place}[{at}]", depth) for at, item in enumerate(value)]
    if kind in (tuple, set, frozenset):
        items = [_told(item, f"{place}[{at}]", depth) for at, item in enumerate(value)]
        return _extension(kind, items)
    if kind is dict:
        pairs = [
            [_told(key, f"a key of {place}", depth), _told(item, f"{place}[{key!r}]", depth)]
            for key, item in value.items()
        ]
        if all(type(key) is str for key in value):
            return dict(pairs)
        return _extension(dict, pairs)
    if isinstance(value, models.Model):
        return _extension(models.Model, _row(value, place, depth))
    parts = _PARTS.get(kind)
    if parts is None:
        raise NotToldError(f"{place} is of type {kind.__module__}.{kind.__qualname__}")
    return _extension(kind, parts(value))


def _extension(kind: type, parts: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(_CODES[kind], _encoder.encode(parts))


def _row(value: models.Model, place: str, depth: int) -> list[Any]:
    if value._state.adding or value.pk is None:
        raise NotToldError(f"{place} is a row that is not saved")
    model = type(value)
    fields = {field.attname for field in model._meta.concrete_fields}
    columns: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, held in vars(value).items():
        if name.startswith("_"):
            continue  # the state, and what was prefetched
        plain = held.name if isinstance(held, FieldFile) else held
        part = _told(plain, f"{place}.{name}", depth)
        (columns if name in fields else more)[name] = part
    return [model._meta.label_lower, value._state.db, columns, more]


def _row_again(parts: Any) -> models.Model:
    label, using, columns, more = parts
    model = apps.get_model(label)
    known = [field.attname for field in model._meta.concrete_fields if field.attname in columns]
    if len(known) != len(columns):
        raise ValueError(f"{label} has other fields now")
    made = maker(model, known, using)([columns[name] for name in known])
    vars(made).update(more)  # what was annotated
    return made


def _moment(value: Any) -> list[Any]:
    """The time, and the zone where its name says more than the offset."""
    zone = value.tzinfo
    named = zone.key if isinstance(zone, zoneinfo.ZoneInfo) else None
    told = value.replace(tzinfo=None) if named else value
    return [told.isoformat(), value.fold, named]


def _moment_again(kind: Any) -> Callable[[Any], Any]:
    def make(parts: Any) -> Any:
        text, fold, zone = parts
        made = kind.fromisoformat(text).replace(fold=fold)
        return made.replace(tzinfo=zoneinfo.ZoneInfo(zone)) if zone else made

    return make


_PARTS: dict[type, Callable[[Any], Any]] = {
    decimal.Decimal: str,
    datetime.datetime: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: _moment,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    uuid.UUID: lambda value: value.bytes,
    SafeString: str.__str__,  # its own gives itself
}
_AGAIN: list[tuple[type, Callable[[Any], Any]]] = [
    (int, int),
    (tuple, tuple),
    (set, set),
    (frozenset, frozenset),
    (dict, dict),
    (decimal.Decimal, decimal.Decimal),
    (datetime.datetime, _moment_again(datetime.datetime)),
    (datetime.date, datetime.date.fromisoformat),
    (datetime.time, _moment_again(datetime.time)),
    (datetime.timedelta, lambda parts: datetime.timedelta(*parts)),
    (uuid.UUID, lambda parts: uuid.UUID(bytes=parts)),
    (SafeString, mark_safe),
    (models.Model, _row_again),
]
"""How each is made again. Its place is its number in the bytes: only ever add at the end."""
_CODES = {kind: number for number, (kind, _) in enumerate(_AGAIN, 1)}
_MAKERS = {number: again for number, (_, again) in enumerate(_AGAIN, 1)}


def _again(code: int, data: memoryview) -> Any:
    return _MAKERS[code](decode(data))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ext_hook=_again)
