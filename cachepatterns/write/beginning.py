"""The BEGIN of a transaction, sent in one message with its first statement.

psycopg keeps a BEGIN back until a transaction's first statement, and then sends it and waits for
its answer before it sends that: one round trip more, for an answer that is always the same. Where
the statement is a write of Django's own, both go out as one message. PostgreSQL answers each, and
the cursor is given the second answer: the statement, its wrappers, its cursor and its transaction
are what they would have been. (A database error that quotes the statement quotes the BEGIN too.)

psycopg has no public way to do this. The methods that are stood in for are looked for first, and
only psycopg's own connections and Django's own cursor are treated so. What stands between may
not know messages of two statements, as some poolers do not: so each database is asked once, by a
message that changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.transactions import is_idle

try:
    import psycopg
    from django.db.backends.postgresql.base import Cursor
except ImportError:  # no PostgreSQL here, or psycopg2
    psycopg = Cursor = None  # type: ignore[assignment,misc]

_IN_CURSOR = ("_start_query", "_execute_send", "_set_results")
"""The methods of a cursor that are stood in for; the first also of its connection."""
_IS_KNOWN = Cursor is not None and all(
    hasattr(stock, name)
    for stock, names in ((Cursor, _IN_CURSOR), (psycopg.Connection, _IN_CURSOR[:1]))
    for name in names
)
_BEGIN = b"BEGIN; "
_QUESTION, _ANSWERS = "BEGIN; SELECT 1; ROLLBACK", ["BEGIN", "SELECT 1", "ROLLBACK"]

_asked: dict[tuple[str, str, int], bool] = {}
"""What this process has been answered, by where a database was reached: a service, or the options
of libpq, may lead elsewhere than the settings say."""
_TAKES_TWO = "_cachepatterns_takes_two"
"""The attribute of psycopg's connection that holds what was answered there."""


def beginning(connection: BaseDatabaseWrapper, cursor: Any) -> Beginning | None:
    """What has the next statement of `cursor` sent with its transaction's BEGIN; `None` if that
    has been sent, or is to be sent alone."""
    driver, raw = connection.connection, getattr(cursor, "cursor", None)
    if not (_IS_KNOWN and type(driver) is psycopg.Connection and type(raw) is Cursor):
        return None
    # Of a message that is no SQL the BEGIN is not carried out either. `atomic` ends then all the
    # same; who commits by hand would go on in no transaction.
    if not connection.in_atomic_block or driver.autocommit or not is_idle(driver):
        return None
    if not config().SHORTCUTS:
        return None
    if driver.pgconn.pipeline_status or not _begins_plainly(driver):
        return None
    takes_two = vars(driver).get(_TAKES_TWO)
    if takes_two is None:
        takes_two = vars(driver)[_TAKES_TWO] = _takes_two(driver)
    return Beginning(driver, raw) if takes_two else None


def _takes_two(driver: Any) -> bool:
    """Whether who is at the other end of a new connection takes several statements a message."""
    reached_at = driver.info.host, driver.info.hostaddr, driver.info.port
    if reached_at not in _asked:
        _asked[reached_at] = _is_answered(driver)
    return _asked[reached_at]


def _begins_plainly(driver: Any) -> bool:
    """Whether its transactions begin with nothing but the word."""
    return driver.isolation_level is driver.read_only is driver.deferrable is None


def _is_answered(driver: Any) -> bool:
    """Whether who is at the other end answers each statement of a message, and BEGIN begins."""
    cursor: Any = driver.cursor()
    try:
        with Beginning(driver, cursor, begin=b""):
            cursor.execute(_QUESTION)
        told = [cursor.statusmessage]
        while cursor.nextset():
            told.append(cursor.statusmessage)
        return told == _ANSWERS and bool(is_idle(driver))
    except psycopg.Error:
        return False
    finally:
        if not is_idle(driver):
            with suppress(psycopg.Error):  # the statement to come meets it too
                driver.rollback()


class Beginning:
    """While this lasts, what `raw` sends first in a transaction has its BEGIN before it."""

    __slots__ = ("_accept", "_begin", "_driver", "_raw", "_send", "_sends_it", "_start")

    def __init__(self, driver: Any, raw: Any, *, begin: bytes = _BEGIN) -> None:
        self._driver, self._raw, self._begin = driver, raw, begin
        self._sends_it = False
        """Whether it goes with the statement that is being sent."""
        self._start, self._send = raw._start_query, raw._execute_send
        self._accept = raw._set_results

    def __enter__(self) -> None:
        raw = self._raw
        raw._start_query, raw._execute_send = self._starts, self._sends
        raw._set_results = self._accepts

    def __exit__(self, *error: object) -> None:
        raw = self._raw
        del raw._start_query, raw._execute_send, raw._set_results

    def _starts(self, query: Any = None) -> Generator[Any, Any, None]:
        # Asked anew: what a wrapper has sent a moment ago may have begun the transaction.
        self._sends_it = not self._driver.autocommit and bool(is_idle(self._driver))
        if not self._sends_it:
            yield from self._start(query)
            return
        self._driver._start_query = _starts_nothing
        try:
            yield from self._start(query)
        finally:
            del self._driver._start_query

    def _sends(self, query: Any, **options: Any) -> None:
        text = query.query
        if self._sends_it:
            query.query = self._begin + text
        self._send(query, **options)
        query.query = text  # which the log of queries shows

    def _accepts(self, results: Any) -> None:
        if self._sends_it and self._begin:
            begun, *results = results
            if not results:
                raise psycopg.InternalError(
                    f"BEGIN and a statement were sent, and answered by {begun.command_status!r} "
                    'alone; set CACHEPATTERNS["SHORTCUTS"] to False to have them sent apart'
                )
        self._accept(results)


def _starts_nothing() -> Generator[Any, Any, None]:
    yield from ()
