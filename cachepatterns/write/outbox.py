"""The outbox, written: what a write invalidates, recorded in the transaction that writes.

The event is committed with the write or not at all, so whatever happens to the bump after
the COMMIT (a crash, Redis away), a relay finds it. In autocommit the statement and its event
need one transaction, so one is begun around them, where the statement allows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.core.guard import guard_of
from cachepatterns.exceptions import OutboxMissing
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.transactions import PendingWrites, aliases_by_database, database_id, is_undone

log = BurstLog()

_migrating: set[str] = set()
"""Aliases that are being migrated: until its turn has come, the table may be missing."""


def _table() -> Any:
    """What Django knows of the outbox's table. Looked up late: querysets write too, and may be
    imported before any model."""
    return apps.get_model("cachepatterns", "InvalidationEvent")._meta


def is_on(connection: BaseDatabaseWrapper) -> bool:
    """Whether writes on `connection` are to be recorded: those to a database that is cached."""
    if not config().OUTBOX:
        return False
    cached = site.databases()
    if connection.alias in cached:
        return True
    return database_id(connection) in aliases_by_database(cached)


@contextmanager
def own_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction around one statement in autocommit and its event."""
    with transaction.atomic(using=connection.alias, savepoint=False):
        yield


def can_begin(connection: BaseDatabaseWrapper) -> bool:
    """Whether `own_transaction` would be one on this very connection."""
    alias = connection.alias
    return alias in connections and connections[alias] is connection


def write(
    connection: BaseDatabaseWrapper,
    event: InvalidationEvent,
    token: str,
    pending: PendingWrites | None = None,
) -> None:
    """Record the event; in a transaction, what it has recorded already is left out.

    Nothing is recorded where all that was written is certain to be undone: then no statement
    would be accepted either. Raises `OutboxMissing` where there is no table.
    """
    if is_undone(connection):
        return
    tags = [tag for tag in event.tags if pending is None or not _covered(tag, pending.recorded)]
    if not tags or not _has_table(connection):
        return
    payload: dict[str, Any] = {
        "prefix": config().PREFIX,
        "tags": tags,
        "labels": list(event.labels),
    }
    if event.object_pk is not None:
        payload["object"] = [event.object_label, event.object_pk]
    _insert(connection, token, event.source, payload)
    if pending is not None:
        pending.recorded.update(tags)


def _covered(tag: str, recorded: set[str]) -> bool:
    """Whether what rests on the tag is bumped by what is recorded already."""
    return tag in recorded or (not tag.startswith("#") and guard_of(tag) in recorded)


def _insert(connection: BaseDatabaseWrapper, token: str, source: str, payload: Any) -> None:
    quote, meta = connection.ops.quote_name, _table()
    columns = ", ".join(map(quote, ("token", "source", "payload")))
    sql = f"INSERT INTO {quote(meta.db_table)} ({columns}) VALUES (%s, %s, %s)"
    value = connection.ops.adapt_json_value(payload, None)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, [token, source[:100], value])
    except DatabaseError as error:
        if meta.db_table not in str(error):
            raise
        raise OutboxMissing(
            f'CACHEPATTERNS["OUTBOX"] is on, but the database {connection.alias!r} has no '
            f"table {meta.db_table}. Run `manage.py migrate cachepatterns "
            f"--database={connection.alias}`, or set OUTBOX to False."
        ) from error


# -- migrations -----------------------------------------------------------------------------


def expect_migration(*, using: str, **kwargs: object) -> None:
    """Receiver of ``pre_migrate``: other apps' migrations may write before ours has run."""
    _migrating.add(using)


def _has_table(connection: BaseDatabaseWrapper) -> bool:
    if connection.alias not in _migrating:
        return True
    with connection.cursor() as cursor:
        found = _table().db_table in connection.introspection.table_names(cursor)
    if found:
        _migrating.discard(connection.alias)
    else:
        log.log(
            "Not recorded in the outbox of %r: the table is not migrated yet", connection.alias
        )
    return found
