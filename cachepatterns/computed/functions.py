"""Functions whose values are cached, as they stand in other people's code."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import models
from django.db.models import QuerySet

from cachepatterns.computed.asking import Wanted, answer
from cachepatterns.computed.backoff import Errors
from cachepatterns.computed.dropping import drop, hand_tag
from cachepatterns.computed.external import external
from cachepatterns.computed.keys import Naming, digest, function_name
from cachepatterns.computed.looping import aanswer
from cachepatterns.computed.resting import Named, Resting
from cachepatterns.computed.values import Values, declared_type
from cachepatterns.conf import config
from cachepatterns.core.tag import standing_tags, tag
from cachepatterns.read.options import ReadOptions
from cachepatterns.registry import site
from cachepatterns.resolving import check_lifetime

P = ParamSpec("P")
R = TypeVar("R")
_LABEL = re.compile(r"\w+\.\w+")
"""How a model may be named. Which it is, is found out when the function is called."""


class CachedFunction(Generic[P, R]):
    """A function whose values are computed once and kept until what they rest on changes.

    It is called as ever; a coroutine function is awaited as ever. Beside that:

    * ``f.uncached(*args)`` computes, asking and storing nothing;
    * ``f.invalidate(*args)`` drops the value for these arguments, ``f.invalidate_all()`` all of
      them; in a transaction after the commit. ``ainvalidate`` and ``ainvalidate_all`` are for
      coroutines;
    * ``f.key(*args)`` is the key under which the value stands.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        tier: str | None,
        ttl: float | None,
        tags: Iterable[Named] | Named | None,
        key: str | None,
        version: int,
        timeout: float | None,
        backoff: Errors | None,
        stale_for: float | None,
        stale_if_error: float | None,
    ) -> None:
        check_lifetime(tier, ttl)
        for name, seconds in (("stale_for", stale_for), ("stale_if_error", stale_if_error)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must be seconds, not {seconds!r}.")
        functools.update_wrapper(self, function)
        self.name = function_name(function)
        self.uncached = function
        self.is_async = iscoroutinefunction(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{self.name}() is a generator: return a list of what it yields.")
        if self.is_async:
            markcoroutinefunction(self)
        if key is None and "<" in self.name:  # <lambda>, <locals>
            raise ValueError(
                f"{self.name}: nothing tells a function that is made within another, or has no "
                "name, from others like it, nor what it has from around it. Say by key= what its "
                "values are called, or define it in a module or class."
            )
        self._function = function
        self._key, self._version = key, version
        self._naming = Naming(function, self.name, key)
        self._external = external(self.name, timeout, backoff)
        self._options = ReadOptions(tier=tier, ttl=ttl)
        self._stale_for, self._stale_if_error = stale_for, stale_if_error
        self._says_tags = tags is not None
        self._named, self._named_by = by_arguments(tags, self.name)
        self._pattern = key or self.name
        self._looked_up: tuple[tuple[Any, int], Resting] | None = None

    # -- calling --------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.is_async:
            return cast(R, self._awaited(args, kwargs))
        call = functools.partial(self._function, *args, **kwargs)
        return self._answer(args, kwargs, functools.partial(self._external.call, call))

    async def _awaited(self, args: Any, kwargs: Any) -> Any:
        call = functools.partial(cast(Any, self._function), *args, **kwargs)
        return await aanswer(
            functools.partial(self._wanted, args, kwargs),
            self._external.in_time(call),
            through=self._external.carefully,
            apart=functools.partial(self._apart, args, kwargs),
        )

    def _answer(self, args: Any, kwargs: Any, compute: Callable[[], Any]) -> Any:
        apart = functools.partial(self._apart, args, kwargs)
        return answer(self._wanted(args, kwargs), compute, apart)

    def _apart(self, args: Any, kwargs: Any) -> Callable[[], Any]:
        """The call for another thread, when the caller's own objects may be other ones."""
        args, kwargs = copy.deepcopy((args, kwargs))
        call = functools.partial(cast(Any, self._function), *args, **kwargs)
        if not self.is_async:
            return functools.partial(self._external.call, call)
        in_loop = async_to_sync(self._external.in_time(call))
        return functools.partial(self._external.carefully, in_loop)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundFunction(self, instance)

    # -- beside it ----------------------------------------------------------------------------

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the value for these arguments stands."""
        return self._wanted(args, kwargs).key

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Drop the value for these arguments; in a transaction after its commit."""
        bound = self._naming.bind(args, kwargs)
        own = self._own_tag(bound.arguments, self._parts(bound.arguments))
        return drop(own, hand_tag(self.name))

    def invalidate_all(self) -> int:
        """Drop the values for all arguments; in a transaction after its commit."""
        return drop(tag(self.name))

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """`invalidate`, for coroutines."""
        return await sync_to_async(self.invalidate)(*args, **kwargs)

    async def ainvalidate_all(self) -> int:
        """`invalidate_all`, for coroutines."""
        return await sync_to_async(self.invalidate_all)()

    def __reduce__(self) -> str:
        qualname: str = self._function.__qualname__
        return qualname  # by its name, as any function

    def __repr__(self) -> str:
        return f"<cached {self.name}>"

    # -- what is wanted -----------------------------------------------------------------------

    def _wanted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted:
        bound = self._naming.bind(args, kwargs)
        parts = self._parts(bound.arguments)
        resting = self._resting()
        for given_by in self._named_by:
            found = given_by(*bound.args, **bound.kwargs)
            resting.all(several(found))
        for value in bound.arguments.values():
            resting.argument(value, is_needed=not self._says_tags)
        return Wanted(
            name=self.name,
            parts=parts,
            own_tag=self._own_tag(bound.arguments, parts),
            hand_tag="" if self._key else hand_tag(self.name),
            resting=resting,
            options=self._options,
            values=self._values,
            pattern=self._pattern,
            learns=not self._says_tags,
            stale_for=self._stale_for,
            stale_if_error=self._stale_if_error,
        )

    def _resting(self) -> Resting:
        """What it rests on whatever the arguments: looked up once for settings and policies."""
        under = (config(), site.generation)
        if self._looked_up is None or self._looked_up[0] != under:
            found = Resting()
            found.all(self._named)
            # Looking models up may itself find new ones.
            self._looked_up = (config(), site.generation), found
        return self._looked_up[1].copy()

    def _parts(self, arguments: Any) -> tuple[str, ...]:
        own = (str(self._version), str(self._options.ttl), str(self._options.tier))
        return (*own, *self._naming.parts(arguments))

    def _own_tag(self, arguments: Any, parts: tuple[str, ...]) -> str:
        text = self._naming.text(arguments)
        return tag(text) if text is not None else tag(self.name, digest(parts))

    @functools.cached_property
    def _values(self) -> Values:
        return Values(self.name, declared_type(self._function))


class BoundFunction:
    """A cached method, on its instance or class: it has all that a `CachedFunction` has."""

    def __init__(self, function: CachedFunction[..., Any], instance: Any) -> None:
        self._function, self.__self__ = function, instance
        if function.is_async:
            markcoroutinefunction(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        if name in _WITH_ARGUMENTS:
            return functools.partial(found, self.__self__)
        return found


_WITH_ARGUMENTS = frozenset({"ainvalidate", "invalidate", "key", "uncached"})


def several(found: Any) -> Iterable[Any]:
    """What was given, be it one or many."""
    if found is None:
        return ()
    return [found] if isinstance(found, (str, type, models.Model, QuerySet)) else found


def by_arguments(
    tags: Iterable[Named] | Named | None, name: str
) -> tuple[list[Any], list[Callable[..., Any]]]:
    """What is named outright, and the functions that name more."""
    outright: list[Any] = []
    by_call: list[Callable[..., Any]] = []
    given = [tags] if callable(tags) and not isinstance(tags, type) else several(tags)
    for each in given:
        if isinstance(each, str) and not _LABEL.fullmatch(each):
            standing_tags(each)  # raises for a text that is no tag
        if isinstance(each, (str, models.Model, QuerySet)) or (
            isinstance(each, type) and issubclass(each, models.Model)
        ):
            outright.append(each)
        elif callable(each) and not isinstance(each, type):
            by_call.append(each)
        else:
            raise TypeError(
                f"{name}: tags= takes models, instances, querysets, tags and functions of the "
                f"arguments that give such, not {each!r}."
            )
    return outright, by_call
