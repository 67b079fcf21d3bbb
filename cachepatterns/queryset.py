"""The queryset: what users call. It only swaps the query class, and opens the row cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connections, models
from django.db.models import Q, QuerySet
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

from cachepatterns.core import outcome
from cachepatterns.core.tag import standing_tags
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.query import CachedQuery, as_cached
from cachepatterns.read import direct
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.instances import is_stock_fetch_mode
from cachepatterns.read.options import DEFAULT, ReadOptions, uncached
from cachepatterns.read.raw import RAW_PATTERN as RAW
from cachepatterns.read.raw import CachedRawQuery, declared_tags
from cachepatterns.read.rows import get_row, get_rows, why_no_rows
from cachepatterns.registry import tiers

M = TypeVar("M", bound=models.Model)
_UNSUITED = (models.Model, Q)


class CachedQuerySetMixin:
    """Adds the cache to any QuerySet class; put it first among the bases."""

    model: type[models.Model]
    query: Any
    _query: Any
    _result_cache: Any
    _is_stock: bool = True
    """Whether rows may be had without asking the QuerySet class that ours is derived from."""
    _for_write: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        query = self._query
        if type(query) is Query and not any(a is query for a in (*args, *kwargs.values())):
            query.__class__ = CachedQuery  # the one it has made for itself a moment ago

    # -- options ------------------------------------------------------------------------

    def uncached(self) -> Any:
        """The same queryset, answered by the database."""
        return self._with_options(enabled=False)

    def cached(
        self,
        *,
        tier: str | None = None,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> Any:
        """The same queryset with a tier or TTL (seconds) of its own, or further tags.

        `tags` come from `cachepatterns.tag`: bumping one of them invalidates the entry
        too. Raises `ValueError` for an unknown tier or a TTL that is not positive.
        """
        if tier is not None and tier not in tiers():
            raise ValueError(f"No tier {tier!r}; there are {', '.join(sorted(tiers()))}.")
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl must be positive seconds, not {ttl!r}.")
        standing = {t for given in tags for t in standing_tags(given)}
        return self._with_options(enabled=True, tier=tier, ttl=ttl, tags=tuple(sorted(standing)))

    def _with_options(self, **changes: Any) -> Any:
        clone = self._chain()  # type: ignore[attr-defined]
        options: ReadOptions = getattr(clone.query, "cache_options", DEFAULT)
        clone.query.cache_options = replace(options, **changes)
        return clone

    # -- the row cache --------------------------------------------------------------------

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's; by a unique field alone on an unfiltered queryset, from the row cache."""
        asked = _one_condition(args, kwargs)
        if asked is not None and self._is_pristine():
            name, value = asked
            plan, _reason = why_no_rows(self.model, name, self.db)  # type: ignore[attr-defined]
            if plan is not None:
                try:
                    row = get_row(plan, self.model, value)
                except (ValueError, TypeError, OverflowError):
                    pass  # No value of this field: Django raises what it always raises.
                else:
                    if row is None:
                        raise self.model.DoesNotExist(  # type: ignore[attr-defined]
                            f"{self.model._meta.object_name} matching query does not exist."
                        )
                    return row
        return super().get(*args, **kwargs)  # type: ignore[misc]

    def in_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> Any:
        """As Django's; by a unique field on an unfiltered queryset, from the row cache."""
        if id_list is not None and self._is_pristine():
            plan, _reason = why_no_rows(self.model, field_name, self.db)  # type: ignore[attr-defined]
            if plan is not None:
                values = list(id_list)
                if not values:
                    return {}
                most = connections[self.db].features.max_query_params  # type: ignore[attr-defined]
                if most and len(values) > most:  # Django asks in several statements.
                    return super().in_bulk(values, field_name=field_name)  # type: ignore[misc]
                try:
                    return get_rows(plan, self.model, values)
                except (ValueError, TypeError, OverflowError):
                    return super().in_bulk(values, field_name=field_name)  # type: ignore[misc]
            id_list = list(id_list)
        return super().in_bulk(id_list, field_name=field_name)  # type: ignore[misc]

    def _is_pristine(self) -> bool:
        """Whether this is ``Manager.all()`` and nothing more: every row, every column."""
        query = self.query
        return (
            self._is_stock
            and type(query) is CachedQuery
            and self._iterable_class is ModelIterable  # type: ignore[attr-defined]
            and query.cache_options == DEFAULT
            and not self._for_write
            and not query.where.children
            and not query.is_sliced
            and not query.combinator
            and not query.distinct
            and not query.annotations
            and not query.select_related
            and not query.select_for_update
            and not query.extra
            and not query.extra_tables
            and not query.select
            and not query.deferred_loading[0]
            and query.deferred_loading[1]
            and query.group_by is None
            and not self._prefetch_related_lookups  # type: ignore[attr-defined]
            and not self._known_related_objects  # type: ignore[attr-defined]
            and not self._sticky_filter  # type: ignore[attr-defined]
            and self._result_cache is None
            and is_stock_fetch_mode(self)
        )

    # -- reads that decide a write ------------------------------------------------------------

    def _fetch_all(self) -> None:
        # `get_or_create`, `update_or_create` and `delete` look before they write: what they
        # act on is the database's word alone.
        if self._result_cache is None and self._for_write:
            with uncached("select_for_update" if self.query.select_for_update else DECIDES):
                super()._fetch_all()  # type: ignore[misc]
            return
        if self._result_cache is None:
            self._result_cache = direct.fetch(self)
        super()._fetch_all()  # type: ignore[misc]

    def _leaves_to_django(self, name: str) -> bool:
        """Whether the class that ours was put before has no such method of its own."""
        cls: Any = type(self)
        return _is_djangos(cls, name)

    # -- queries of a known shape ---------------------------------------------------------------

    def count(self) -> int:
        if self._result_cache is None and self._leaves_to_django("count"):
            found = direct.count(self)
            if found is not None:
                return found
        return super().count()  # type: ignore[misc]

    def exists(self) -> bool:
        if self._result_cache is None and self._leaves_to_django("exists"):
            found = direct.exists(self)
            if found is not None:
                return found
        return super().exists()  # type: ignore[misc]

    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        if self._leaves_to_django("aggregate"):
            found = direct.aggregate(self, args, kwargs)
            if found is not None:
                return found
        return super().aggregate(*args, **kwargs)  # type: ignore[misc]

    # -- raw SQL ------------------------------------------------------------------------------

    def raw(self, *args: Any, tags: Iterable[Any] | None = None, **kwargs: Any) -> Any:
        """As Django's; with `tags`, cached until one of them, or a watched table that the SQL
        names, is written.

        A tag comes from `cachepatterns.tag`, or is a model whose table the SQL reads. Raises
        `ValueError` if there is none, or for one whose writes nobody watches.
        """
        found = super().raw(*args, **kwargs)  # type: ignore[misc]
        if tags is None:
            emit(ReadEvent(self.model._meta.label_lower, RAW, outcome.BYPASS, reason="raw()"))
            return found
        options: ReadOptions = getattr(self.query, "cache_options", DEFAULT)
        named, declared = declared_tags(tags)
        options = replace(options, tags=tuple(sorted({*options.tags, *named})))
        found.query = CachedRawQuery(found.query, found.db, self.model, options, declared)
        return found


def _one_condition(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any] | None:
    """The name and the value in ``get(name=value)``, or in the `Q` of a foreign key's access."""
    if kwargs:
        if args or len(kwargs) != 1:
            return None
        ((name, value),) = kwargs.items()
    else:
        if len(args) != 1 or type(args[0]) is not Q:
            return None
        condition = args[0]
        if condition.negated or len(condition.children) != 1:
            return None
        child = condition.children[0]
        if not isinstance(child, tuple):
            return None
        name, value = child
    if value is None or isinstance(value, _UNSUITED) or hasattr(value, "resolve_expression"):
        return None
    return name, value


@lru_cache(maxsize=1024)
def _is_djangos(cls: Any, name: str) -> bool:
    """Whether the class that ours was put before leaves this method to Django."""
    after = cls.__mro__[cls.__mro__.index(CachedQuerySetMixin) + 1 :]
    return next(c for c in after if name in vars(c)) is QuerySet


class CachedQuerySet(CachedQuerySetMixin, QuerySet[M]):  # type: ignore[misc]
    """A QuerySet that reads through the cache."""


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
_ROW_BY_ROW = ("get", "in_bulk", "filter", "_filter_or_exclude", "_chain", "_clone", "_fetch_all")
"""The methods whose work the row cache does: a class with its own is asked, not passed by."""


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
            "_is_stock": all(getattr(base, n) is getattr(QuerySet, n) for n in _ROW_BY_ROW),
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


__all__ = ["CachedQuerySet", "CachedQuerySetMixin", "cached", "cached_class", "read_through"]
