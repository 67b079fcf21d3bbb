"""Results put into a form that can be compared: types, values, states, shared objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import QuerySet

from tests.differential.generators import Unordered

# Which query loaded an instance, and its peers in that query, are objects of that run.
RUN_BOUND = {"fields_cache", "peers"}


def freeze(result: Any) -> Any:
    """`result` as nested tuples that are equal exactly where Django's users see no difference.

    Of every value the type and the `repr`; of model instances the class, the database, what
    is deferred, what is cached on them. An object met twice is said to be the same one.
    """
    return _Freezer().freeze(result)


class _Freezer:
    def __init__(self) -> None:
        self._met: dict[int, int] = {}

    def freeze(self, value: Any) -> Any:
        if isinstance(value, models.Model):
            return self._once(value, self._instance)
        if isinstance(value, Unordered):
            return ("in any order", sorted((freeze(item) for item in value), key=repr))
        if isinstance(value, QuerySet):
            return ("queryset", [self.freeze(item) for item in value])
        if isinstance(value, tuple):
            fields = getattr(value, "_fields", ())
            return (_name(type(value)), fields, [self.freeze(item) for item in value])
        if isinstance(value, list):
            return self._once(value, lambda v: ("list", [self.freeze(item) for item in v]))
        if isinstance(value, Mapping):
            return self._once(value, self._mapping)
        if isinstance(value, BaseException):
            return ("raises", _name(type(value)), [self.freeze(arg) for arg in value.args])
        if isinstance(value, memoryview):
            return ("memoryview", bytes(value))
        return (_name(type(value)), repr(value))

    def _once(self, value: Any, freeze: Any) -> Any:
        if id(value) in self._met:
            return ("again", self._met[id(value)])
        self._met[id(value)] = len(self._met)
        return freeze(value)

    def _mapping(self, value: Mapping[Any, Any]) -> Any:
        items = [(self.freeze(key), self.freeze(item)) for key, item in value.items()]
        return (_name(type(value)), sorted(items, key=lambda item: repr(item[0])))

    def _instance(self, obj: models.Model) -> Any:
        state = obj._state
        held = {name: value for name, value in obj.__dict__.items() if name != "_state"}
        told = {n: v for n, v in vars(state).items() if n not in RUN_BOUND}
        return (
            _name(type(obj)),
            [(name, self.freeze(value)) for name, value in held.items()],
            sorted(obj.get_deferred_fields()),
            sorted((name, repr(value)) for name, value in told.items()),
            sorted((n, self.freeze(v)) for n, v in vars(state).get("fields_cache", {}).items()),
        )


def spoil(result: Any) -> None:
    """Change every mutable value in `result`: no other caller may ever notice."""
    if isinstance(result, models.Model):
        for value in result.__dict__.values():
            spoil(value)
    elif isinstance(result, dict):
        for value in result.values():
            spoil(value)
        result["spoilt"] = True
    elif isinstance(result, list):
        for value in result:
            spoil(value)
        result.append("spoilt")
    elif isinstance(result, tuple):
        for value in result:
            spoil(value)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
