"""What a computed value is called: by its function and arguments, or as its author says.

``key="order:total:{order.pk}"`` names it by a template over the arguments. The values that the
template takes enter the key with their types, so that ``1`` and ``"1"`` are two, and no text can
pretend to be two others.
"""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from django.db import models

from cachepatterns.computed.identity import NoIdentityError, spelled
from cachepatterns.exceptions import NoIdentity

_formatter = string.Formatter()


def digest(parts: Iterable[str]) -> str:
    """One name for many texts, each kept apart from the next."""
    found = blake2b(digest_size=16)
    for part in parts:
        told = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(told) + told)
    return found.hexdigest()


def function_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


class Naming:
    """How the values of a function are told apart."""

    def __init__(self, function: Callable[..., Any], name: str, key: str | None) -> None:
        self._name = name
        self._signature = inspect.signature(function)
        self._template = None if key is None else Template(key, self._signature, name)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments by their names, defaults included; raises `TypeError` as a call would."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def parts(self, arguments: Mapping[str, Any]) -> list[str]:
        """What tells this call from every other; raises `NoIdentity`, naming the argument."""
        if self._template is not None:
            return self._template.parts(arguments)
        return [
            f"{name}={_identity(value, name, self._name)}" for name, value in arguments.items()
        ]

    def text(self, arguments: Mapping[str, Any]) -> str | None:
        """The key as its author would write it; `None` if he has not said how."""
        return None if self._template is None else self._template.text(arguments)


class Template:
    """``order:total:{order.pk}``, over the arguments of a function."""

    def __init__(self, template: str, signature: inspect.Signature, owner: str) -> None:
        self._template, self._owner = template, owner
        self._fields: list[tuple[str, str]] = []
        if not isinstance(template, str) or not template:
            raise ValueError(f"{owner}: key= is a text such as 'order:total:{{order.pk}}'.")
        for _, field, spec, conversion in _formatter.parse(template):
            if field is None:
                continue
            name = field.partition(".")[0].partition("[")[0]
            if name not in signature.parameters:
                raise ValueError(
                    f"{owner}: key={template!r} names {name or 'a position'!r}; the function's "
                    f"arguments are {', '.join(signature.parameters) or 'none'}."
                )
            shown = f"!{conversion}" if conversion else ""
            self._fields.append((field, f"{shown}:{spec}" if spec else shown))

    def parts(self, arguments: Mapping[str, Any]) -> list[str]:
        return [self._template, *(self._part(f, how, arguments) for f, how in self._fields)]

    def text(self, arguments: Mapping[str, Any]) -> str:
        return _formatter.vformat(self._template, (), arguments)

    def _part(self, field: str, how: str, arguments: Mapping[str, Any]) -> str:
        value, name = _formatter.get_field(field, (), arguments)
        owner = arguments.get(str(name))
        if isinstance(owner, models.Model):
            _identity(owner, str(name), self._owner)  # of all that are not saved, pk is None
        if how:
            return _formatter.vformat(f"{{{field}{how}}}", (), arguments)
        return _identity(value, field, self._owner)


def _identity(value: Any, name: str, owner: str) -> str:
    try:
        return spelled(value)
    except NoIdentityError as error:
        raise NoIdentity(
            f"{owner}(): the argument {name!r} is or holds {error}. Pass what it is known by (a "
            "primary key, a text), or say by key= what tells the calls apart."
        ) from None
