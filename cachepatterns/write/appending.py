"""Deletes and updates by Django's own classes, made to tell their rows.

The Collector deletes, and sets to NULL what referred to the deleted, by plain `DeleteQuery` and
`UpdateQuery`; so do plain managers, and updates of a child that go to its parent's table. Such
a statement reaches the execute wrapper with its text complete, and its caller looks at nothing
but its row count. So ``RETURNING`` may be appended there, at no statement more: on PostgreSQL,
SQLite and MariaDB to a DELETE, on PostgreSQL 18, which also tells old values, to an UPDATE.

SQL of the user's own is never touched: who wrote it may look for rows himself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler, SQLDeleteCompiler, SQLUpdateCompiler
from django.db.models.sql.constants import NO_RESULTS, ROW_COUNT

from cachepatterns.core.sqltext import Statement
from cachepatterns.registry import site
from cachepatterns.write.changes import tells_its_table
from cachepatterns.write.coarse import coarse_event, origin, written_tables
from cachepatterns.write.telling import Telling, told_columns

_COMPILERS = {"DELETE": SQLDeleteCompiler, "UPDATE": SQLUpdateCompiler}
_EXECUTE = SQLCompiler.execute_sql.__code__
_FRAMES = 16
"""How many calls may lie between the compiler and the wrapper: other wrappers, mostly."""
_NOT_THE_END = re.compile(r"\bRETURNING\b|--|/\*|;|#", re.IGNORECASE)
"""What may stand where nothing can be appended, or hide what is."""
_WHERE = re.compile(r"\bWHERE\b", re.IGNORECASE)


class Appended:
    """A statement that will tell its rows."""

    def __init__(self, telling: Telling, verb: str, whole_table: bool) -> None:
        self.telling = telling
        self.whole_table = whole_table
        self.sides = () if verb == "DELETE" else ("old", "new")

    def run(self, execute: Callable[[str], Any], sql: str, cursor: Any) -> Any:
        """Execute the statement and account for its rows; the answer is the plain one's."""
        telling = self.telling
        if not self.whole_table:
            columns = told_columns(telling.connection, telling.fields, *self.sides)
            sql = f"{sql} RETURNING {', '.join(columns)}"
        with telling.around():
            answer = execute(sql)
            if self.whole_table or cursor.description is None:
                telling.everything()
            else:
                # Fetched at once: on SQLite the statement ends with its last row, and only
                # then knows its row count.
                telling.rows([self._pair(row) for row in cursor.fetchall()])
        return answer

    def _pair(self, row: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any] | None]:
        if not self.sides:
            return row, None
        half = len(row) // 2
        return row[:half], row[half:]


def appended(
    connection: BaseDatabaseWrapper, found: Statement, sql: Any, many: bool
) -> Appended | None:
    """`sql` as a statement that tells its rows, if it can be made one."""
    if many or found.target is None or found.verb not in _COMPILERS or type(sql) is not str:
        return None
    if not _can_tell(connection, found.verb) or _NOT_THE_END.search(sql):
        return None
    model = site.tracked().get(found.target)
    policy = site.policy_for(model) if model is not None else None
    if policy is None or not tells_its_table(policy.model) or not _is_djangos(found.verb):
        return None
    reached = written_tables(found) - found.names
    beyond = coarse_event(connection, replace(found, names=reached)) if reached else None
    telling = Telling(connection, policy, origin()[0], beyond)
    return Appended(telling, found.verb, whole_table=not _WHERE.search(sql))


def _can_tell(connection: BaseDatabaseWrapper, verb: str) -> bool:
    if connection.vendor == "postgresql":
        version: int = connection.pg_version  # type: ignore[attr-defined]
        return verb == "DELETE" or version >= 180000
    if connection.vendor not in {"sqlite", "mysql"}:
        return False
    # True for SQLite 3.35 and MariaDB 10.5, which are also the first to return from a DELETE.
    return verb == "DELETE" and connection.features.can_return_columns_from_insert


def _is_djangos(verb: str) -> bool:
    """Whether one of Django's compilers executes the statement, for its row count alone."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            return False
        if frame.f_code is _EXECUTE:
            caller = frame.f_locals
            wanted = caller.get("result_type") in (ROW_COUNT, NO_RESULTS)
            return wanted and isinstance(caller.get("self"), _COMPILERS[verb])
        frame = frame.f_back
    return False
