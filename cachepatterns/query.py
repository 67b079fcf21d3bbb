"""The query class that reads through the cache."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import sql

from cachepatterns.read.aggregates import cached_aggregate
from cachepatterns.read.compiler import cached_compiler
from cachepatterns.read.options import DEFAULT, ReadOptions


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
