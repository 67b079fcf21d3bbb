"""Aggregates over a subquery: of slices, `distinct()`, unions, grouped or annotated rows.

Django wraps such a query in an `AggregateQuery` of its own making, which is no query of ours,
and asks the backend for its compiler by name. That is where ours comes in: the connection's
own `ops`, which belong to this thread, hand out the caching subclass this once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.subqueries import AggregateQuery

from cachepatterns.read.compiler import cached_compiler


@contextlib.contextmanager
def cached_aggregate(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """The next `AggregateQuery` that is compiled on `connection` asks the cache."""
    ops: Any = connection.ops
    before = vars(ops).get("compiler")
    base = ops.compiler

    def restore() -> None:
        if before is None:
            vars(ops).pop("compiler", None)
        else:
            ops.compiler = before

    def compiler(name: str) -> Any:
        found = base(name)
        if name != AggregateQuery.compiler:
            return found
        restore()
        return cached_compiler(found)

    ops.compiler = compiler
    try:
        yield
    finally:
        restore()
