"""Other people's querysets made to read through the cache: one by one, and class by class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models
from django.db.models import QuerySet
from django.db.models.sql import Query

from cachepatterns.query import as_cached
from cachepatterns.queryset import CachedQuerySetMixin

M = TypeVar("M", bound=models.Model)


def cached(
    queryset: QuerySet[M],
    *,
    tier: str | None = None,
    ttl: float | None = None,
    tags: Iterable[str] = (),
) -> QuerySet[M]:
    """`queryset`, of whatever class and manager, reading through the cache.

    The model must be registered (``CACHEPATTERNS["MODELS"]`` for other people's models);
    otherwise the queryset goes on reading the database, counted as ``not registered``.
    Raises `TypeError` for what is no plain queryset, `ValueError` for an unknown tier.
    """
    if not isinstance(queryset, QuerySet):
        raise TypeError(f"cached() takes a queryset, not {type(queryset).__name__}.")
    if not isinstance(queryset, CachedQuerySetMixin):
        queryset = _converted(queryset)
    # By its class: the queryset's own may have a `cached()` of another meaning.
    found: QuerySet[M] = CachedQuerySetMixin.cached(
        queryset,  # type: ignore[arg-type]
        tier=tier,
        ttl=ttl,
        tags=tags,
    )
    return found


def read_through(queryset: Any) -> Any:
    """`queryset` as a caching one; itself where its query is of a kind that can not be cached."""
    if isinstance(queryset, CachedQuerySetMixin) or type(queryset.query) is not Query:
        return queryset
    return _converted(queryset)


def _converted(queryset: Any) -> Any:
    clone = queryset._chain()
    clone.query = as_cached(clone.query)
    clone.__class__ = cached_class(type(clone))
    return clone


_classes: dict[type, type] = {}

_OWN_WORDS = ("cached", "uncached")
"""What we add to a QuerySet class, unless it has something of that name already."""


def cached_class(base: type) -> type:
    """The caching subclass of a QuerySet class, made once and called as that is."""
    if issubclass(base, CachedQuerySetMixin):
        return base
    if base not in _classes:
        members = {name: getattr(base, name) for name in _OWN_WORDS if hasattr(base, name)}
        members |= {
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            "__reduce__": _reduce,
            "_cached_from": base,
        }
        metaclass: Any = type(base)
        _classes[base] = metaclass(base.__name__, (CachedQuerySetMixin, base), members)
    return _classes[base]


def _reduce(queryset: Any) -> Any:
    """Pickled by the class that can be imported."""
    return _unpickled, (queryset._cached_from,), queryset.__getstate__()


def _unpickled(base: type) -> Any:
    cls: Any = cached_class(base)
    return cls.__new__(cls)
