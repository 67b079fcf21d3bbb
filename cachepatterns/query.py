"""The query class that reads through the cache."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import sql

from cachepatterns.read.aggregates import cached_aggregate
from cachepatterns.read.compiler import cached_compiler
from cachepatterns.read.options import DEFAULT, ReadOptions
from cachepatterns.read.prefetching import asks_for_all_columns_of_one_table


class CachedQuery(sql.Query):
    """A query whose SELECTs ask the cache."""

    cache_options: ReadOptions = DEFAULT

    def get_compiler(
        self, using: str | None = None, connection: Any = None, elide_empty: bool = True
    ) -> Any:
        if using is None and connection is None:
            raise ValueError("Need either using or connection")
        if using is not None:
            connection = connections[using]
        base = connection.ops.compiler(self.compiler)
        return cached_compiler(base)(self, connection, using, elide_empty)

    def get_aggregation(self, using: str, aggregate_exprs: Any) -> Any:
        with cached_aggregate(connections[using]):
            return super().get_aggregation(using, aggregate_exprs)


def as_cached(query: sql.Query) -> CachedQuery:
    """A copy of a plain query that asks the cache."""
    clone = query.clone()
    if type(clone) is not sql.Query:
        raise TypeError(f"A {type(clone).__name__} can not be cached; only plain querysets can.")
    clone.__class__ = CachedQuery
    return clone  # type: ignore[return-value]


def is_unchanged(query: Any) -> bool:
    """Whether nothing was asked of `query` yet."""
    return (
        type(query) is CachedQuery
        and not query.where.children
        # Noted, neither of these is a beginning either: one way for both.
        and not query.order_by
        and query.standard_ordering
        and not query.extra_order_by
        and asks_for_all_columns_of_one_table(query)
    )
