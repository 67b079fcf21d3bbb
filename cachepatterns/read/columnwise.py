"""Aggregates of a model's own columns, as ``aggregate()`` is given them: ``Min("price")``.

Django makes a new expression for each call; what it says is worked out once.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from django.db.models import IntegerField, Sum

from cachepatterns.read.conditions import referred
from cachepatterns.read.statement import AGGREGATES
from cachepatterns.registry import site

Given = tuple[tuple[str | None, type, str], ...]
"""Aggregates as their caller writes them: the alias, if there is one, the class, its argument."""


class Wanted(msgspec.Struct, frozen=True):
    """Aggregates of a model's own columns."""

    places: tuple[tuple[int, str], ...]
    """The aliases, and where among the answers that of each stands."""
    spelled: tuple[tuple[str, str], ...]
    """The class and the column of each."""
    told: str
    """A digest of all of that, to tell it from others."""


def wanted_of(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted | None:
    """The arguments of ``aggregate()``, if they are nothing but these; else `None`."""
    given = _given(args, kwargs)
    return None if given is None else _wanted(model, given, site.generation)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given | None:
    """What is asked, if it is nothing but classes, each with one name."""
    found: list[tuple[str | None, type, str]] = []
    # As Django orders them: those named by the caller first.
    for alias, asked in [*kwargs.items(), *[(None, asked) for asked in args]]:
        kind = type(asked)
        if kind not in AGGREGATES:
            return None
        given, options = asked._constructor_args
        # As it was made, and as it may have been told since.
        if options or len(given) != 1:
            return None
        if asked.distinct or asked.filter is not None or asked.default is not None:
            return None
        name = given[0]
        if type(name) is not str:
            return None
        found.append((alias, kind, name))
    return tuple(found)


@lru_cache(maxsize=1024)
def _is_given_as_it_is(field: type) -> bool:
    """Whether what the database says needs no converter of somebody else's: that may go by the
    language, or decrypt."""
    convert = getattr(field, "from_db_value", None)
    return convert is None or str(convert.__module__).startswith("django.")


@lru_cache(maxsize=1024)
def _wanted(model: Any, given: Given, generation: int) -> Wanted | None:
    """What these are of `model`; `None` where they are to be asked otherwise. `generation` is the
    registry's, whose policies have a say in it."""
    fields = model._meta.concrete_model._meta.local_concrete_fields
    columns = {field.name: field for field in fields}
    policy = site.policy_for(model)
    ignored = policy.policy.ignores if policy is not None else ()
    spelled: dict[str, tuple[str, str]] = {}
    named = {alias for alias, _, _ in given}
    for alias, kind, name in given:
        if name in named or (alias is not None and not alias.isidentifier()):
            return None  # of which Django has something to say
        if kind not in AGGREGATES or name not in columns:
            return None
        kinds: list[Any] = [type(field) for field in referred(columns[name])]
        if not all(map(_is_given_as_it_is, kinds)):
            return None
        if kind is Sum and isinstance(columns[name], IntegerField):
            return None  # may outgrow 64 bits: the long way keeps what the driver gave
        if name in ignored:
            return None  # the plan of the rows, which only shows it, does not tell of its writes
        alias = alias or f"{name}__{kind.__name__.lower()}"  # Django's default alias
        if alias in spelled:
            return None
        spelled[alias] = kind.__name__, name
    if not spelled:
        return None
    told = blake2b(repr([*spelled.items()]).encode(), digest_size=12).hexdigest()
    return Wanted(tuple(enumerate(spelled)), tuple(spelled.values()), told)
