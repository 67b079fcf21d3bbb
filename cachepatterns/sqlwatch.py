"""The writing door that nothing gets past: an execute wrapper on every connection.

Django calls it with every statement of every cursor it hands out. One of Django's own that
writes a watched table is made to tell its rows; any other one bumps the model tag of every
model on the tables that it writes. Installed through ``connection_created``, public API.

It does not see ``callproc``, ``cursor.copy()``, ``stream()``, the driver's own connection,
functions that write inside a SELECT, and what triggers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.core.marker import marker
from cachepatterns.core.sqltext import Kind, Statement, statement
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.read.within import WRITES, computation
from cachepatterns.registry import site
from cachepatterns.transactions import (
    in_transaction,
    mark_customised,
    raw_transaction_ended,
    savepoint_ended,
)
from cachepatterns.write.accounting import is_accounted
from cachepatterns.write.appending import Appended, appended
from cachepatterns.write.changes import closing
from cachepatterns.write.coarse import coarse_event, written_tables
from cachepatterns.write.dispatch import REFUSALS, mark_written, record, statement_fence
from cachepatterns.write.fence import Fence
from cachepatterns.write.ignoring import ignored_event
from cachepatterns.write.onerow import handed_over
from cachepatterns.write.wholesale import wholesale

log = BurstLog()

ENDS = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
"""What ends a transaction that was begun by hand."""
_TRANSACTIONAL = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE", "WITH"})


def install(*, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Receiver of ``connection_created``: put the wrapper on the connection, once.

    First in the list: the end of an `execute_wrapper()` block takes away the last one, and
    it may have been within such a block that the connection was opened.
    """
    if watch not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, watch)


def watch(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Run the statement; see to it that what it wrote is invalidated."""
    connection: BaseDatabaseWrapper = context["connection"]
    found = statement(_text(sql, connection))
    value = computation()
    if value is not None and found.kind is not Kind.NEUTRAL:
        value.reads(connection, _text(sql, connection) if found.kind is Kind.READ else "")
    if found.kind is Kind.READ:
        return execute(sql, params, many, context)
    if found.kind is Kind.NEUTRAL:
        try:
            return execute(sql, params, many, context)
        finally:
            if found.verb in ENDS:  # a COMMIT that fails is one too
                savepoint_ended(connection)
                raw_transaction_ended(connection)
    if _changes_session(connection, found) and not _begins_session(connection, sql):
        mark_customised(connection)
    if value is not None and found.kind is not Kind.TRANSACTION:
        value.spoil(WRITES)  # what it sees may be its own, and never be committed
    if found.kind is Kind.SESSION:
        return execute(sql, params, many, context)
    # Before it runs: what follows in this transaction must see what it wrote, even if
    # the statement should fail half-way.
    mark_written(connection)
    told = handed_over(connection, sql)
    if told is not None:
        return _run(told, execute, params, found, context)
    if found.kind is Kind.TRANSACTION or not _concerns_us(found):
        return execute(sql, params, many, context)

    def run() -> Any:
        return execute(_marked(sql, connection, found), params, many, context)

    if is_accounted():
        return run()
    whole = wholesale()
    if whole is not None:
        may_begin = _may_run_in_transaction(connection, found, sql)
        with whole.around(connection, found, may_begin=may_begin):
            return run()
    ignoring = _ignoring(connection, found, sql)
    if ignoring is not None:
        may_begin = _may_run_in_transaction(connection, found, sql)
        guarded = statement_fence(connection, ignoring.tags, may_begin=may_begin, are_all=True)
        with guarded as fence:
            return _recorded(connection, ignoring, fence, run)
    telling = _telling(connection, found, sql, params, many, context["cursor"])
    if telling is not None:
        return _run(telling, execute, params, found, context)
    event = _event(connection, None if found.kind is Kind.UNKNOWN else found)
    if event is None:
        return execute(sql, params, many, context)
    may_begin = _may_run_in_transaction(connection, found, sql)
    with statement_fence(connection, closing(event.tags), may_begin=may_begin) as fence:
        return _recorded(connection, event, fence, run)


def _run(
    telling: Appended,
    execute: Callable[..., Any],
    params: Any,
    found: Statement,
    context: dict[str, Any],
) -> Any:
    """What a statement answers that tells its rows."""
    connection = context["connection"]

    def run(text: str, given: Any) -> Any:
        return execute(_marked(text, connection, found), given, False, context)

    return telling.run(run, params, context["cursor"])


def _recorded(
    connection: BaseDatabaseWrapper,
    event: InvalidationEvent,
    fence: Fence | None,
    run: Callable[[], Any],
) -> Any:
    """What the statement answers; the event is recorded, however it ends."""
    try:
        answer = run()
    except REFUSALS:
        record(connection, event, fence)  # what a batch had written before it failed
        raise
    except BaseException:
        if in_transaction(connection):
            record(connection, event)
        raise  # in autocommit the outcome is not known: the registration expires
    record(connection, event, fence)
    return answer


def _changes_session(connection: BaseDatabaseWrapper, found: Statement) -> bool:
    """Whether later statements on the connection may see something else than others do."""
    if found.kind is Kind.SESSION or found.session:
        return True
    if found.kind is Kind.TRANSACTION:
        # MySQL and MariaDB keep it for the next transaction, PostgreSQL ignores it there.
        return connection.vendor == "mysql" and not in_transaction(connection)
    # A temporary table hides the real one of its name.
    return (
        found.verb in {"CREATE", "SEVERAL"}
        and not {"temp", "temporary"}.isdisjoint(found.names)
        and _concerns_us(found)
    )


def _begins_session(connection: BaseDatabaseWrapper, sql: Any) -> bool:
    """Whether this is what Django's MySQL backend says on every connection. When it connects
    again, as it does for each request, its wrapper is watched already."""
    if connection.vendor != "mysql" or not isinstance(sql, str):
        return False
    level = str(getattr(connection, "isolation_level", "")).upper()
    usual = {"SET SQL_AUTO_IS_NULL = 0", f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"}
    return usual.issuperset(sql.split("; "))


def _marked(sql: Any, connection: BaseDatabaseWrapper, found: Statement) -> Any:
    """The statement, saying to our triggers on its one table that it is accounted for."""
    conf = config()
    if found.target is None or not isinstance(sql, str) or not conf.TRIGGERS:
        return sql
    info = getattr(connection.connection, "info", None)  # psycopg's
    pid = getattr(info, "backend_pid", 0)
    return sql + marker(conf.PREFIX, found.target, pid) if pid else sql


def _ignoring(
    connection: BaseDatabaseWrapper, found: Statement, sql: Any
) -> InvalidationEvent | None:
    try:
        return ignored_event(connection, found, _text(sql, connection))
    except Exception:
        log.log("cachepatterns could not tell what an UPDATE sets", exc_info=True)
        return None


def _telling(
    connection: BaseDatabaseWrapper,
    found: Statement,
    sql: Any,
    params: Any,
    many: bool,
    cursor: Any,
) -> Appended | None:
    try:
        return appended(connection, found, sql, params, many, cursor)
    except Exception:
        log.log("cachepatterns could not have a write tell its rows", exc_info=True)
        return None


def _event(connection: BaseDatabaseWrapper, found: Statement | None) -> InvalidationEvent | None:
    try:
        return coarse_event(connection, found)
    except Exception:
        log.log("cachepatterns could not account for a write", exc_info=True)
    return coarse_event(connection, None) if found is not None else None


def _may_run_in_transaction(connection: BaseDatabaseWrapper, found: Statement, sql: Any) -> bool:
    """Whether a transaction may be begun for this statement in autocommit, and ended after it.

    Not for what may begin, end or forbid one itself (CALL, several statements, CREATE INDEX
    CONCURRENTLY). SQLite ends none while rows wait to be fetched; there, what is executed
    meanwhile is committed together with the statement.
    """
    if found.kind is not Kind.WRITE or found.verb not in _TRANSACTIONAL:
        return False
    return connection.vendor != "sqlite" or "RETURNING" not in _text(sql, connection).upper()


def _concerns_us(found: Statement) -> bool:
    if found.kind is Kind.UNKNOWN:
        return True
    return not site.tracked().keys().isdisjoint(written_tables(found))


def _text(sql: Any, connection: BaseDatabaseWrapper) -> str:
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode("utf-8", "replace")
    as_string = getattr(sql, "as_string", None)  # psycopg.sql.Composable
    return as_string(connection.connection) if as_string is not None else str(sql)
