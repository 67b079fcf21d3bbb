"""Statements of Django's own, made to tell their rows.

Whatever manager a write began with, of ours or not, it ends as an INSERT, UPDATE or DELETE that
one of Django's compilers has made, and reaches the execute wrapper with its text complete. So
``RETURNING`` is appended there, at no statement more, and Django is given what it would have
had. Old values are told by ``old.…`` on PostgreSQL 18, before 18 by what `oldvalues` makes of an
UPDATE. Left to the coarse layer are upserts before 18, which may meet rows that no snapshot
shows, and on SQLite and MariaDB all that updates.

SQL of the user's own is never touched: who wrote it may look for rows himself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core.sqltext import MEMO_BELOW, Statement
from cachepatterns.observe import BurstLog
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.write.ahead import registered_ahead
from cachepatterns.write.authorship import VERBS, Own, own_statement
from cachepatterns.write.beginning import beginning
from cachepatterns.write.changes import tells_its_table
from cachepatterns.write.coarse import coarse_event, reached_from, written_tables
from cachepatterns.write.concerns import ByQuery
from cachepatterns.write.oldvalues import UpdateWithOldValues, with_old_values
from cachepatterns.write.refetched import Refetched, columns
from cachepatterns.write.telling import Pair, Telling, told_columns

log = BurstLog()

Row = tuple[Any, ...]
Execute = Callable[[str, Any], Any]

_NOT_THE_END = re.compile(r"\bRETURNING\b|--|/\*|;", re.IGNORECASE)
"""What may stand where nothing can be appended, or hide what is."""
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)
_UPSERTS = re.compile(r"\bUPDATE\b", re.IGNORECASE)
"""``ON CONFLICT … DO UPDATE``, ``ON DUPLICATE KEY UPDATE``; also of other people's compilers."""


class Appended:
    """A statement that will tell its rows, after the columns that Django fetches."""

    def __init__(self, telling: Telling, own: Own, text: str, sides: Sequence[str]) -> None:
        self.telling = telling
        self.own = own
        self.text = text
        self.sides = sides
        """Which values are told: ``old``, ``new`` or both, in this order."""
        self.offered: int | None = None
        """How many rows must come of it, where that is known."""

    def run(self, execute: Execute, params: Any, cursor: Any) -> Any:
        """Execute the statement and account for its rows; Django notices nothing."""
        begins = beginning(self.telling.connection, cursor)

        def work() -> Any:
            with begins or nullcontext():
                return self._carried_out(execute, params, cursor)

        return self.telling.run(work, begins=begins is not None)

    def _carried_out(self, execute: Execute, params: Any, cursor: Any) -> Any:
        answer = execute(self.text, params)
        # Fetched at once: on SQLite the statement ends with its last row, and only then knows
        # its row count.
        self._account(cursor)
        return answer

    def _account(self, cursor: Any) -> None:
        width, told = len(self.own.returned), len(self.telling.fields)
        if _columns_of(cursor) != width + told * len(self.sides):  # a wrapper has cut it off
            self.telling.everything()
            return
        try:
            rows = cursor.fetchall()
        except Exception as error:
            self._untold(cursor, error)
            return
        if width:
            cursor.cursor = Refetched(cursor.cursor, [tuple(row[:width]) for row in rows])
        if self.offered is not None and len(rows) != self.offered:
            # A trigger has put rows elsewhere; and who knows where.
            self.telling.everything()
            return
        self.telling.rows([self._pair(row[width:]) for row in rows])

    def _untold(self, cursor: Any, error: Exception) -> None:
        """The statement has been carried out; but some of what it tells can not be read."""
        log.log("cachepatterns could not read what a write tells: %s", error)
        self.telling.everything()
        if not self.own.returned:
            return
        try:
            with self.telling.connection.wrap_database_errors:
                found = columns(cursor, range(len(self.own.returned)))
        except LookupError:
            raise error from None
        cursor.cursor = Refetched(cursor.cursor, found)

    def _pair(self, row: Sequence[Any]) -> Pair:
        half = len(self.telling.fields)
        old = row[:half] if "old" in self.sides else None
        new = row[-half:] if "new" in self.sides else None
        # Of a row that an upsert has inserted all old values are NULL, the key's too.
        if old is not None and old[0] is None and all(value is None for value in old):
            old = None
        return old, new


class WholeTable(Appended):
    """A write without a condition: returning every row of the table would cost too much."""

    def _account(self, cursor: Any) -> None:
        self.telling.everything()


class Rewritten(Appended):
    """An UPDATE before PostgreSQL 18, with the rows that it is about to change."""

    def __init__(self, telling: Telling, own: Own, told: UpdateWithOldValues) -> None:
        super().__init__(telling, own, told.text, ("old", "new"))
        self.told = told

    def _carried_out(self, execute: Execute, params: Any, cursor: Any) -> Any:
        answer = execute(self.text, self.told.params)
        own, is_told = range(len(self.own.returned)), True
        try:
            found = cursor.fetchall()
        except Exception as error:
            log.log("cachepatterns could not read what a write tells: %s", error)
            found, is_told = columns(cursor, self.told.deciding), False
        rows, missed = self.told.split(found)
        if missed:
            execute(*self.told.again(missed))
            rows += columns(cursor, own)
        cursor.cursor = Refetched(cursor.cursor, [row[: len(own)] for row in rows])
        if missed or not is_told:
            self.telling.everything()
        else:
            self.telling.rows([self._pair(row[len(own) :]) for row in rows])
        return answer


def appended(
    connection: BaseDatabaseWrapper,
    found: Statement,
    sql: Any,
    params: Any,
    many: bool,
    cursor: Any,
) -> Appended | None:
    """`sql` as a statement that tells its rows, if it can be made one."""
    if many or found.target is None or found.verb not in VERBS or type(sql) is not str:
        return None
    model = site.tracked().get(found.target)
    policy = site.policy_for(model) if model is not None else None
    if policy is None or not tells_its_table(policy.model):
        return None
    own = own_statement(found.verb, cursor) if _tells(connection, found.verb) else None
    if own is None:
        return None
    if found.verb == "DELETE" and found.target in reached_from(found.target):
        return None  # of the rows that the database takes along it tells nothing
    anatomy = _anatomy if len(sql) > MEMO_BELOW else _anatomy_memo
    text = anatomy(sql, len(own.returned), connection.vendor)
    if text is None:
        return None
    stem = text.stem
    reached = written_tables(found) - found.names
    beyond = coarse_event(connection, replace(found, names=reached)) if reached else None
    telling = Telling(connection, policy, beyond)
    if found.verb == "INSERT":
        return _insert(telling, own, text, sql)
    if beyond is None:
        query = own.compiler.query
        telling.concerned = ByQuery(query, policy, connection, telling.database)
        telling.ahead = partial(registered_ahead, connection, query)
    if not text.has_where:
        return None if own.returned else WholeTable(telling, own, sql, ())
    if found.verb == "DELETE":
        return Appended(telling, own, _returning(telling, stem, sql), ("old",))
    if tells_old_of(connection, policy):
        return Appended(telling, own, _returning(telling, stem, sql, "old", "new"), ("old", "new"))
    saves = telling.source == "save"
    told = with_old_values(own.compiler, stem, params, telling.fields, own.returned, saves=saves)
    return Rewritten(telling, own, told) if told is not None else None


def _insert(telling: Telling, own: Own, text: Text, sql: str) -> Appended | None:
    stem, features = text.stem, telling.connection.features
    offered = len(own.compiler.query.objs)
    if offered > 1 and not features.can_return_rows_from_bulk_insert:
        return None
    if text.upserts:
        if not tells_old_of(telling.connection, telling.policy):
            return None
        return Appended(telling, own, _returning(telling, stem, sql, "old", "new"), ("old", "new"))
    # Of rows that conflict with others, and are ignored, nothing is told: nothing is written.
    found = Appended(telling, own, _returning(telling, stem, sql), ("new",))
    found.offered = offered if own.compiler.query.on_conflict is None else None
    return found


def _returning(telling: Telling, stem: str, sql: str, *sides: str) -> str:
    """The statement with the told columns, after those that Django returns."""
    columns = _told(telling.policy, telling.connection, sides)
    return f"{sql}, {columns}" if stem != sql else f"{sql} RETURNING {columns}"


def told_text(
    policy: ResolvedPolicy, connection: BaseDatabaseWrapper, sql: str, *sides: str
) -> str:
    """`sql`, which returns nothing, with the columns that tell its rows."""
    return f"{sql} RETURNING {_told(policy, connection, sides)}"


def _told(policy: ResolvedPolicy, connection: BaseDatabaseWrapper, sides: Sequence[str]) -> str:
    columns: str | None = policy.memo.get((connection.vendor, sides))
    if columns is None:
        columns = ", ".join(told_columns(connection, policy.told, *sides))
        policy.memo[connection.vendor, sides] = columns
    return columns


class Text(NamedTuple):
    """A statement without what Django returns, and what stands in it."""

    stem: str
    has_where: bool
    upserts: bool


def _anatomy(sql: str, returned: int, vendor: str) -> Text | None:
    """What `sql`, returning so many columns, is made of; `None` where nothing can be appended."""
    stem = sql
    if returned:
        stem, returns, columns = sql.rpartition(" RETURNING ")
        if not returns or columns.count(",") != returned - 1:
            return None
    if _NOT_THE_END.search(stem) or (vendor == "mysql" and "#" in stem):
        return None
    return Text(stem, bool(_WHERE.search(stem)), bool(_UPSERTS.search(stem)))


_anatomy_memo = lru_cache(maxsize=1024)(_anatomy)


def _columns_of(cursor: Any) -> int:
    """How many columns there are to fetch. psycopg would make an object of each to describe it."""
    result = getattr(cursor, "pgresult", None)
    return len(cursor.description or ()) if result is None else int(result.nfields)


def _tells(connection: BaseDatabaseWrapper, verb: str) -> bool:
    """Whether the database can tell what Django's statements of this kind did."""
    if connection.vendor == "postgresql":
        return True
    # True for SQLite 3.35 and MariaDB 10.5, which are also the first to return from a DELETE.
    returns = connection.features.can_return_columns_from_insert
    return connection.vendor in {"sqlite", "mysql"} and verb != "UPDATE" and returns


def tells_old_of(connection: BaseDatabaseWrapper, policy: ResolvedPolicy) -> bool:
    """Whether RETURNING knows ``old`` and ``new`` of the policy's table: of one that is called so
    itself it means that."""
    return tells_old(connection) and _bare(policy.model._meta.db_table) not in {"old", "new"}


def tells_old(connection: BaseDatabaseWrapper) -> bool:
    """Whether RETURNING knows ``old`` and ``new``."""
    if connection.vendor != "postgresql":
        return False
    version: int = connection.pg_version  # type: ignore[attr-defined]
    return version >= 180000


def _bare(table: str) -> str:
    """The name without a schema before it, which may be written as ``schema"."table``."""
    return table.rpartition(".")[2].strip('"')
