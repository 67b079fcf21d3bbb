"""`cached`, for querysets and for functions, and `get_or_compute` for what is neither."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import models
from django.db.models import QuerySet

from cachepatterns import converting
from cachepatterns.computed.asking import Wanted, answer
from cachepatterns.computed.backoff import Errors
from cachepatterns.computed.functions import CachedFunction, several
from cachepatterns.computed.looping import aanswer
from cachepatterns.computed.resting import Given, Named, Resting
from cachepatterns.computed.values import Values
from cachepatterns.core.tag import tag
from cachepatterns.read.options import ReadOptions
from cachepatterns.resolving import check_lifetime

M = TypeVar("M", bound=models.Model)
P = ParamSpec("P")
R = TypeVar("R")


@overload
def cached(
    target: QuerySet[M],
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Iterable[str] = (),
) -> QuerySet[M]: ...
@overload
def cached(target: Callable[P, R]) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Iterable[Named] | Named | None = None,
    key: str | None = None,
    version: int = 1,
    timeout: float | None = None,
    backoff: Errors | None = None,
    stale_for: float | None = None,
    stale_if_error: float | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]: ...
def cached(
    target: Any = None,
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Any = None,
    key: str | None = None,
    version: int = 1,
    timeout: float | None = None,
    backoff: Errors | None = None,
    stale_for: float | None = None,
    stale_if_error: float | None = None,
) -> Any:
    """A queryset that reads through the cache, or a function whose values are cached.

    **A queryset**, ``cached(Group.objects.all(), ttl=30)``, of whatever class and manager. Its
    model must be registered; otherwise it goes on reading the database, counted as such. `tags`
    come from `cachepatterns.tag`.

    **A function**, by decorating it::

        @cached(key="order:total:{order.pk}", tags=[OrderItem])
        def order_total(order) -> Decimal: ...

    `tags` are what the value rests on: models, instances, querysets, tags, and functions of the
    arguments that give any of these; instances among the arguments count too. Writes to them
    invalidate it, as they do queries. Without `tags` it rests on any row of the models that it was
    seen to read. `key` says what tells the calls apart, instead of all
    arguments with their types. `tier` or `ttl` (seconds): how long it may live at most; without,
    the shortest of the models' tiers, 60 s where there is none. Raise `version` when the function
    gives something else.

    For functions that ask another service: after `timeout` seconds they raise `TimeoutError` (one
    that is no coroutine function is called in a thread of its own, which goes on by itself then).
    `backoff` names the errors by which the service says that it wants to be left alone (an
    exception class, several, or a dictionary with the seconds for each): for the seconds that the
    error tells by ``retry_after`` or a ``Retry-After`` header, else 10, no process calls it, and
    `BackedOff` is raised. For `stale_if_error` seconds after its time the last good value is given
    instead of any error, and for `stale_for` seconds while another one is computed in the
    background; neither once what it rests on has been written.

    Raises `TypeError` for what is neither, `ValueError` for an unknown tier or a bad key;
    the function raises `NoIdentity` for arguments that nothing tells apart, `UncacheableResult`
    for a result that would not come back from the cache as it is.
    """
    if isinstance(target, QuerySet):
        others = (key, timeout, backoff, stale_for, stale_if_error)
        if version != 1 or any(each is not None for each in others):
            raise TypeError("cached(queryset) takes a tier, a ttl and tags, and nothing else.")
        return converting.cached(target, tier=tier, ttl=ttl, tags=tags or ())

    def decorate(function: Any) -> Any:
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(decorate(function.__func__))
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                f"cached() takes a queryset or decorates a function, not {function!r}."
            )
        return CachedFunction(
            function,
            tier=tier,
            ttl=ttl,
            tags=tags,
            key=key,
            version=version,
            timeout=timeout,
            backoff=backoff,
            stale_for=stale_for,
            stale_if_error=stale_if_error,
        )

    return decorate if target is None else decorate(target)


def get_or_compute(
    key: str,
    compute: Callable[[], R],
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Iterable[Given] | Given | None = None,
    version: int = 1,
) -> R:
    """The value that is called `key`, from the cache or by `compute()`.

    As a decorated function without arguments; the key is all that tells it from others, so let it
    hold whatever `compute` makes use of. ``invalidate(tag(key))`` drops it.
    """
    return answer(_wanted(key, tier, ttl, tags, version), compute)


async def aget_or_compute(
    key: str,
    compute: Callable[[], Awaitable[R]] | Callable[[], R],
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Iterable[Given] | Given | None = None,
    version: int = 1,
) -> R:
    """`get_or_compute`, for coroutines; `compute` may be a coroutine function itself."""
    wanted = partial(_wanted, key, tier, ttl, tags, version)
    if iscoroutinefunction(compute):
        found: R = await aanswer(wanted, compute)
        return found
    run: Any = compute
    return await sync_to_async(lambda: answer(wanted(), run))()


def _wanted(key: str, tier: str | None, ttl: float | None, tags: Any, version: int) -> Wanted:
    if not isinstance(key, str) or not key:
        raise TypeError(f"The key of a computed value is a text, not {key!r}.")
    check_lifetime(tier, ttl)
    resting = Resting()
    resting.all(several(tags))
    name = pattern(key)
    return Wanted(
        name=f"get_or_compute.{name}",
        parts=(key, str(version), str(ttl), str(tier)),
        own_tag=tag(key),
        resting=resting,
        options=ReadOptions(tier=tier, ttl=ttl),
        values=Values(key),
        pattern=name,
        learns=tags is None,
    )


def pattern(key: str) -> str:
    """What a key is called in the statistics: its words, up to the first that has a digit."""
    words = itertools.takewhile(lambda word: not re.search(r"\d", word), re.split("[:/]", key))
    return ":".join(words)[:60] or "value"
