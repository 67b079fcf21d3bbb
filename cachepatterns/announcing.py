"""Announced writes: for code that writes where no layer can see it.

``callproc``, ``cursor.copy()``, ``stream()``, the driver's own connection and functions that
write inside a SELECT pass the execute wrapper by. Who calls them says so first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import structs

from cachepatterns.core.sqltext import Kind, Statement
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.observe import InvalidationEvent
from cachepatterns.read.options import uncached
from cachepatterns.registry import concrete_model, site, table_name
from cachepatterns.transactions import PendingWrites, in_transaction, is_idle, pending_writes
from cachepatterns.write.changes import closing
from cachepatterns.write.coarse import coarse_event
from cachepatterns.write.dispatch import REFUSALS, record, statement_fence
from cachepatterns.write.fence import Fence


@contextmanager
def announces(*written: type[models.Model], using: str = "default") -> Iterator[None]:
    """Within this block, code may write rows of these models where no layer sees it::

        with announces(Product, StockMove):
            cursor.callproc("receive_delivery", [delivery.pk])

    Readers keep away from the models while it runs (strict), and every entry of theirs is
    invalidated when it ends, also by an exception; inside a transaction, after its commit.
    What the block itself reads comes from the database. Parents of the models, and what the
    database cascades to, count as written too. The block must not return before its writes
    are done, nor leave them to connections whose transactions outlast it.

    Raises `CachePatternsError` for a model of which nothing is cached, `TypeError` for what
    is no model, and `WriteRefused`, before anything is written, where that is the policy.
    """
    connection = connections[using]
    event = _event(connection, written)
    # No transaction is begun around what may begin and end its own.
    guarded = statement_fence(connection, closing(event.tags), may_begin=False)
    with uncached(), guarded as fence:
        if in_transaction(connection):
            record(connection, event)
        pending = pending_writes(connection)
        try:
            yield
        except BaseException as error:
            # Whatever had been written before it failed counts. Unless it is certain that
            # nothing runs any more, the registration stands until it expires.
            settled = fence if _is_settled(connection, error) else None
            _at_the_end(connection, event, pending, settled)
            raise
        _at_the_end(connection, event, pending, fence)


def _at_the_end(
    connection: BaseDatabaseWrapper,
    event: InvalidationEvent,
    pending: PendingWrites | None,
    fence: Fence | None,
) -> None:
    """Record the event, unless the transaction in which the block began still holds it."""
    if pending is None or pending_writes(connection) is not pending:
        record(connection, event, fence)


def _is_settled(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether no statement of the block can take effect any more."""
    if isinstance(error, REFUSALS):
        return True
    return isinstance(error, Exception) and is_idle(connection.connection) is True


def _event(
    connection: BaseDatabaseWrapper, written: tuple[type[models.Model], ...]
) -> InvalidationEvent:
    if not written:
        raise TypeError("announces() takes the models that will be written.")
    tables = set[str]()
    for model in written:
        tables |= _tables(model)
    event = coarse_event(connection, Statement(Kind.WRITE, "ANNOUNCED", frozenset(tables)))
    assert event is not None  # each of the tables is tracked
    return structs.replace(event, source="announced", coarse=False)


def _tables(model: object) -> set[str]:
    """The tables of a model and its parents that are watched; by table, since of several
    models on one readers depend on one."""
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        raise TypeError(f"announces() takes models, not {model!r}.")
    concrete = concrete_model(model)
    tracked = site.tracked()
    if table_name(concrete) not in tracked:
        raise CachePatternsError(
            f"{concrete._meta.label} is not registered; nothing of it is cached."
        )
    parents = {table_name(parent) for parent in concrete._meta.get_parent_list()}
    return {table_name(concrete)} | parents & set(tracked)
