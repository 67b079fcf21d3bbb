"""The queryset: what users call. It only swaps the query class, and opens the row cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, models
from django.db.models import QuerySet
from django.db.models.query import ModelIterable

from cachepatterns.core import outcome
from cachepatterns.core.tag import standing_tags
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.noting import NotingMixin, is_django_s
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.query import CachedQuery, is_unchanged
from cachepatterns.read import direct
from cachepatterns.read.bulkorder import in_order, steps_of
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.explaining import Explanation, explain
from cachepatterns.read.instances import is_stock_fetch_mode
from cachepatterns.read.options import DEFAULT, ReadOptions, uncached
from cachepatterns.read.prefetching import targets
from cachepatterns.read.raw import RAW_PATTERN as RAW
from cachepatterns.read.raw import CachedRawQuery, declared_tags
from cachepatterns.read.rowplans import why_no_rows
from cachepatterns.read.rows import found_row, get_rows
from cachepatterns.resolving import check_lifetime
from cachepatterns.write import onerow

M = TypeVar("M", bound=models.Model)
_NO_ORDER: Any = (("order_by", (), {}),)
_ROW_BY_ROW = (
    "get",
    "in_bulk",
    "filter",
    "_filter_or_exclude",
    "_chain",
    "_clone",
    "_fetch_all",
    "__iter__",
)
"""The methods whose work the row cache does: a class with its own is asked, not passed by."""
_BEGINNING = ("__new__", "__init__", "query", "db")
"""Those by which a queryset that was just made may already be more than all rows of its model."""


class CachedQuerySetMixin(NotingMixin):
    """Adds the cache to any QuerySet class; put it first among the bases."""

    model: type[models.Model]
    query: Any
    _result_cache: Any
    _is_django_s_own: bool
    """Whether the class gets, filters and clones as Django's: then rows come past all that."""
    _begins_as_django_s: bool
    """Whether, beside that, a queryset that was just made is all rows, and nothing more: then a
    manager need not make one."""
    _for_write: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._is_django_s_own = is_django_s(cls.__mro__, _ROW_BY_ROW)
        cls._begins_as_django_s = cls._is_django_s_own and is_django_s(cls.__mro__, _BEGINNING)

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
        check_lifetime(tier, ttl)
        standing = {t for given in tags for t in standing_tags(given)}
        return self._with_options(enabled=True, tier=tier, ttl=ttl, tags=tuple(sorted(standing)))

    def _with_options(self, **changes: Any) -> Any:
        clone = self._chain()  # type: ignore[attr-defined]
        options: ReadOptions = getattr(clone.query, "cache_options", DEFAULT)
        clone.query.cache_options = replace(options, **changes)
        return clone

    def explain_cache(self, method: str = "", /, *args: Any, **kwargs: Any) -> Explanation:
        """What the cache would do with this read now, and why: key, tags, policy, hit or miss.

        Of iterating the queryset; with a method's name, of calling that:
        ``explain_cache("count")``, ``explain_cache("in_bulk", [1, 2])``; with conditions alone, of
        ``get()``: ``explain_cache(pk=7)``. Writes nothing, and does not ask the database.
        """
        queryset = self._chain()  # type: ignore[attr-defined]
        method = method or ("get" if kwargs else "")

        def ask() -> Any:
            return getattr(queryset, method)(*args, **kwargs) if method else list(queryset)

        model = self.model._meta.concrete_model or self.model
        return explain(ask, using=queryset.db, label=model._meta.label_lower)

    async def aexplain_cache(self, method: str = "", /, *args: Any, **kwargs: Any) -> Explanation:
        """`explain_cache` in a coroutine; `method` is the name of the synchronous one."""
        return await sync_to_async(self.explain_cache)(method, *args, **kwargs)

    # -- the row cache --------------------------------------------------------------------

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's; by a unique field alone on an unfiltered queryset, from the row cache."""
        if self._is_pristine():
            found = found_row(self.model, self.db, args, kwargs)  # type: ignore[attr-defined]
            if found is not None:
                return found
        return super().get(*args, **kwargs)  # type: ignore[misc]

    def in_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> Any:
        """As Django's; by a unique field on an unfiltered queryset, from the row cache."""
        if not id_list:  # all rows, or what Django takes for none, an iterable or not
            return super().in_bulk(id_list, field_name=field_name)  # type: ignore[misc]
        is_ordered = self._is_pristine()
        if is_ordered or self._has_no_order():
            plan, _reason = why_no_rows(self.model, field_name, self.db)  # type: ignore[attr-defined]
            if plan is not None:
                values = list(id_list)
                if not values:
                    return {}
                most = connections[self.db].features.max_query_params  # type: ignore[attr-defined]
                if most and len(values) > most:  # Django asks in several statements.
                    return super().in_bulk(values, field_name=field_name)  # type: ignore[misc]
                steps = steps_of(self.model) if is_ordered and len(values) > 1 else ()
                if steps is None:
                    return super().in_bulk(values, field_name=field_name)  # type: ignore[misc]
                try:
                    found = get_rows(plan, self.model, values)
                    return in_order(found, steps) if steps else found
                except NO_VALUE:
                    return super().in_bulk(values, field_name=field_name)  # type: ignore[misc]
            id_list = list(id_list)
        return super().in_bulk(id_list, field_name=field_name)  # type: ignore[misc]

    def _is_pristine(self) -> bool:
        """Whether this is ``Manager.all()`` and nothing more: every row, every column."""
        recipe = self._cachepatterns_recipe
        return self._gives_whole_rows() and (
            is_unchanged(self.query) if recipe is None else recipe.step.is_begin
        )

    def _has_no_order(self) -> bool:
        """Whether this is ``Manager.order_by()``: the same, in no order."""
        recipe = self._cachepatterns_recipe
        return recipe is not None and recipe.calls == _NO_ORDER and self._gives_whole_rows()

    def _gives_whole_rows(self) -> bool:
        """Whether what it finds is handed out as rows are that are found one by one."""
        return (
            self._is_django_s_own
            and not self._for_write
            and self._result_cache is None
            and self._iterable_class is ModelIterable  # type: ignore[attr-defined]
            and not self._prefetch_related_lookups  # type: ignore[attr-defined]
            and not self._known_related_objects  # type: ignore[attr-defined]
            and not self._sticky_filter  # type: ignore[attr-defined]
            and is_stock_fetch_mode(self)
        )

    # -- reads that decide a write ------------------------------------------------------------

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            # `get_or_create`, `update_or_create` and `delete` look before they write: what they
            # act on is the database's word alone.
            if self._for_write:
                with uncached("select_for_update" if self.query.select_for_update else DECIDES):
                    super()._fetch_all()  # type: ignore[misc]
                return
            if self._asks_for_a_prefetch():
                self._result_cache = targets(self)
            # A `_fetch_all` of a project's own, beneath ours, may do its work where there is no
            # result yet, as django-auto-prefetch's does: it is given none.
            if self._result_cache is None and self._leaves_to_django("_fetch_all"):
                self._result_cache = direct.fetch(self)
        super()._fetch_all()  # type: ignore[misc]

    def _asks_for_a_prefetch(self) -> bool:
        """Whether these may be a foreign key's targets, as instances and nothing else."""
        return (
            "instance" in self._hints  # type: ignore[attr-defined]
            # None holds what a prefetch asks: do not build it for this.
            and self._cachepatterns_recipe is None
            and self._is_django_s_own
            and type(self.query) is CachedQuery
            and self._iterable_class is ModelIterable  # type: ignore[attr-defined]
            and not self._known_related_objects  # type: ignore[attr-defined]
            and is_stock_fetch_mode(self)
        )

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

    # -- writes of one row ------------------------------------------------------------------------

    def update(self, **kwargs: Any) -> int:
        """As Django's; of one row by its primary key without compiling the statement."""
        if kwargs and self._leaves_to_django("update"):
            found = onerow.update(self, kwargs)
            if found is not None:
                self._result_cache = None
                return found
        written: int = super().update(**kwargs)  # type: ignore[misc]
        return written

    update.alters_data = True  # type: ignore[attr-defined]

    def _update(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        """The same for ``save()``. Since Django 6.0 with the fields that are to be returned; with
        none of them, an empty tuple stands for each row."""
        returning = args[0] if args else kwargs.get("returning_fields")
        if values and not returning and self._leaves_to_django("_update"):
            found = onerow.save(self, values)
            if found is not None:
                self._result_cache = None
                return found if returning is None else [()] * found
        return super()._update(values, *args, **kwargs)  # type: ignore[misc]

    _update.alters_data = True  # type: ignore[attr-defined]
    _update.queryset_only = False  # type: ignore[attr-defined]

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


@lru_cache(maxsize=1024)
def _is_djangos(cls: Any, name: str) -> bool:
    """Whether the class that ours was put before leaves this method to Django."""
    after = cls.__mro__[cls.__mro__.index(CachedQuerySetMixin) + 1 :]
    return next(c for c in after if name in vars(c)) is QuerySet


class CachedQuerySet(CachedQuerySetMixin, QuerySet[M]):  # type: ignore[misc]
    """A QuerySet that reads through the cache."""
