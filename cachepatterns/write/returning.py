"""Updates whose own statement tells the old values.

What an instance had loaded is not what the database held: another writer may have moved
the row since. On PostgreSQL 18 ``UPDATE … RETURNING old.*, new.*`` tells both in the
statement that writes, at no statement more; before 18 the statement reads them itself
(`write/oldvalues.py`). On other databases the coarse layer takes over.

Reached because `CachedQuery.chain()` maps `sql.UpdateQuery` to `TrackedUpdateQuery`: that
catches ``update()``, ``bulk_update()`` and, through the base manager, ``save()``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import sql
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.db.models.sql.constants import ROW_COUNT

from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import announced
from cachepatterns.write.changes import tells_its_table
from cachepatterns.write.oldvalues import UpdateWithOldValues, with_old_values
from cachepatterns.write.telling import Telling, told_columns

if TYPE_CHECKING:
    _Base: Any = SQLUpdateCompiler
else:
    _Base = object

_source: ContextVar[str] = ContextVar("cachepatterns_source", default="")


@contextlib.contextmanager
def written_by(source: str) -> Iterator[None]:
    """What updates within this block are called (``save``, ``bulk``)."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def writer(default: str = "update") -> str:
    """What the write under way is called."""
    return _source.get() or default


class TrackedUpdateQuery(sql.UpdateQuery):
    """An UPDATE whose compiler accounts for every row it changes."""

    def get_compiler(
        self, using: str | None = None, connection: Any = None, elide_empty: bool = True
    ) -> Any:
        if using is not None:
            connection = connections[using]
        base = connection.ops.compiler(self.compiler)
        return tracked_compiler(base)(self, connection, using, elide_empty)


@cache
def tracked_compiler(base: type[SQLUpdateCompiler]) -> type[SQLUpdateCompiler]:
    """The accounting subclass of a database backend's UPDATE compiler."""
    return type(f"Tracked{base.__name__}", (TrackedUpdateMixin, base), {})


class TrackedUpdateMixin(_Base):
    """Appends ``RETURNING old.…, new.…`` where the database can, and records the rows."""

    def execute_sql(self, result_type: Any) -> Any:
        policy = self._policy()
        if policy is None or result_type != ROW_COUNT:
            return super().execute_sql(result_type)
        if not self.query.where:
            return self._whole_table(policy)
        try:
            statement, params = self.as_sql()
        except EmptyResultSet:
            return 0
        rows = self._returning(policy, statement, params) if statement else None
        return super().execute_sql(result_type) if rows is None else len(rows)

    def execute_returning_sql(self, returning_fields: Sequence[Any] | None) -> Any:
        policy = self._policy()
        if policy is None or not returning_fields or not self.query.where:
            return super().execute_returning_sql(returning_fields)
        statement, params = self.as_sql()
        rows = self._returning(policy, statement, params, returning_fields)
        if rows is None:
            return super().execute_returning_sql(returning_fields)
        rows = [tuple(row[: len(returning_fields)]) for row in rows]
        table = policy.model._meta.db_table
        columns = [field.get_col(table) for field in returning_fields]
        converters = self.get_converters(columns)
        return list(self.apply_converters(rows, converters)) if converters else rows

    def _policy(self) -> ResolvedPolicy | None:
        """The policy of the model written, if its rows can be told one by one."""
        if self.connection.vendor != "postgresql" or self.query.related_updates:
            return None
        policy = site.policy_for(self.query.model)
        if policy is None or not tells_its_table(policy.model):
            return None
        if any(model not in (None, policy.model) for _, model, _ in self.query.values):
            return None
        return policy

    def _whole_table(self, policy: ResolvedPolicy) -> int:
        """An UPDATE without WHERE: returning every row of the table would cost too much."""
        telling = Telling(self.connection, policy, writer())
        with telling.around():
            with announced(self.connection, "UPDATE", table_name(policy.model)):
                count: int = super().execute_sql(ROW_COUNT)
            telling.everything()
        return count

    def _returning(
        self,
        policy: ResolvedPolicy,
        statement: str,
        params: Sequence[Any],
        returned: Sequence[Any] = (),
    ) -> list[tuple[Any, ...]] | None:
        """Run the UPDATE and account for its rows, which begin with the `returned` fields;
        `None` if it can not be made to tell them."""
        telling = Telling(self.connection, policy, writer())
        half = len(telling.fields)
        told: UpdateWithOldValues | None = None
        if self.connection.pg_version < 180000:
            saves = telling.source == "save"
            told = with_old_values(self, statement, params, telling.fields, returned, saves=saves)
            if told is None:
                return None
        with telling.around():
            if told is not None:
                rows = self._with_old_values(policy, telling, told)
            else:
                returning, more = "RETURNING", ()
                if returned:
                    returning, more = self.connection.ops.returning_columns(returned)
                    returning += ","
                columns = told_columns(self.connection, telling.fields, "old", "new")
                text = f"{statement} {returning} {', '.join(columns)}"
                rows = self._run(policy, "UPDATE", text, (*params, *more))
            telling.rows([(row[-2 * half : -half], row[-half:]) for row in rows])
        return rows

    def _with_old_values(
        self, policy: ResolvedPolicy, telling: Telling, told: UpdateWithOldValues
    ) -> list[tuple[Any, ...]]:
        rows, missed = told.split(self._run(policy, "WITH", told.text, told.params))
        if missed:
            rows += self._run(policy, "UPDATE", *told.again(missed))
            telling.everything()
        return rows

    def _run(
        self, policy: ResolvedPolicy, verb: str, text: str, params: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        # The text of a WITH does not tell the table that it writes.
        table = None if verb == "WITH" else table_name(policy.model)
        with announced(self.connection, verb, table), self.connection.cursor() as cursor:
            cursor.execute(text, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
