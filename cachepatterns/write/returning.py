"""Updates whose own statement tells the old values.

What an instance had loaded is not what the database held: another writer may have moved
the row since. On PostgreSQL 18 ``UPDATE … RETURNING old.*, new.*`` tells both in the
statement that writes, at no statement more. Elsewhere the coarse layer takes over.

Reached because `CachedQuery.chain()` maps `sql.UpdateQuery` to `TrackedUpdateQuery`: that
catches ``update()``, ``bulk_update()`` and, through the base manager, ``save()``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import sql
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.db.models.sql.constants import ROW_COUNT

from cachepatterns.core.change import Change, RowValues
from cachepatterns.observe import InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import announced, database_id
from cachepatterns.write.changes import (
    closing_tags,
    model_tags,
    row_tags,
    rule_tags,
    tells_its_table,
    unknown_change,
)
from cachepatterns.write.dispatch import record, statement_fence
from cachepatterns.write.fence import Fence

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
        if not statement:
            return super().execute_sql(result_type)
        return len(self._returning(policy, statement, "RETURNING", params))

    def execute_returning_sql(self, returning_fields: Sequence[Any] | None) -> Any:
        policy = self._policy()
        if policy is None or not returning_fields or self.query.related_updates:
            return super().execute_returning_sql(returning_fields)
        statement, params = self.as_sql()
        returning, more = self.connection.ops.returning_columns(returning_fields)
        rows = self._returning(policy, statement, returning + ",", (*params, *more))
        rows = [tuple(row[: len(returning_fields)]) for row in rows]
        table = policy.model._meta.db_table
        columns = [field.get_col(table) for field in returning_fields]
        converters = self.get_converters(columns)
        return list(self.apply_converters(rows, converters)) if converters else rows

    def _policy(self) -> ResolvedPolicy | None:
        """The policy of the model written, if its rows can be told one by one."""
        if self.connection.vendor != "postgresql" or self.connection.pg_version < 180000:
            return None
        if self.query.related_updates:
            return None
        policy = site.policy_for(self.query.model)
        if policy is None or not tells_its_table(policy.model):
            return None
        if any(model not in (None, policy.model) for _, model, _ in self.query.values):
            return None
        return policy

    def _whole_table(self, policy: ResolvedPolicy) -> int:
        """An UPDATE without WHERE: returning every row of the table would cost too much."""
        database = database_id(self.connection)
        with statement_fence(self.connection, closing_tags(policy, database)) as fence:
            with announced(self.connection, "UPDATE", table_name(policy.model)):
                count: int = super().execute_sql(ROW_COUNT)
            changes = [unknown_change(policy.model, self.using, writer())]
            tags = model_tags(policy.label, database) | rule_tags(policy, changes)
            self._record(policy, tags, None, fence)
        return count

    def _returning(
        self, policy: ResolvedPolicy, statement: str, returning: str, params: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        quote = self.connection.ops.quote_name
        fields = _told_fields(policy)
        told = [f"{side}.{quote(field.column)}" for side in ("old", "new") for field in fields]
        database = database_id(self.connection)
        with statement_fence(self.connection, closing_tags(policy, database)) as fence:
            with (
                announced(self.connection, "UPDATE", table_name(policy.model)),
                self.connection.cursor() as cursor,
            ):
                cursor.execute(f"{statement} {returning} {', '.join(told)}", params)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
            if rows:
                self._account(policy, fields, [row[-len(told) :] for row in rows], fence)
        return rows

    def _account(
        self,
        policy: ResolvedPolicy,
        fields: Sequence[Any],
        rows: Sequence[Sequence[Any]],
        fence: Fence | None,
    ) -> None:
        attnames = [field.attname for field in fields]
        half = len(attnames)
        pairs = [
            (
                dict(zip(attnames, row[:half], strict=True)),
                dict(zip(attnames, row[half:], strict=True)),
            )
            for row in rows
        ]
        tags = row_tags(policy, database_id(self.connection), pairs)
        if policy.has_rules:
            tags |= rule_tags(policy, self._changes(policy, fields, pairs))
        alone = str(_pk_of(policy, pairs[0][1])) if len(pairs) == 1 else None
        self._record(policy, tags, alone, fence)

    def _changes(
        self,
        policy: ResolvedPolicy,
        fields: Sequence[Any],
        pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    ) -> list[Change]:
        """The rows as the model would give them: through the fields' converters."""
        meta = policy.model._meta
        converters = self.get_converters([field.get_col(meta.db_table) for field in fields])
        attnames = [field.attname for field in fields]

        def converted(values: Mapping[str, Any]) -> RowValues:
            rows = [list(values.values())]
            row = next(iter(self.apply_converters(rows, converters))) if converters else rows[0]
            return RowValues(dict(zip(attnames, row, strict=True)))

        return [
            Change(
                model=policy.model,
                pk=_pk_of(policy, after),
                before=converted(before),
                after=converted(after),
                using=self.using,
                source=writer(),
            )
            for before, after in pairs
        ]

    def _record(
        self, policy: ResolvedPolicy, tags: set[str], pk: str | None, fence: Fence | None
    ) -> None:
        record(
            self.connection,
            InvalidationEvent(
                labels=(policy.label,),
                tags=tuple(sorted(tags)),
                source=writer(),
                using=self.using,
                object_pk=pk,
                object_label=policy.label if pk is not None else None,
            ),
            fence,
        )


def _told_fields(policy: ResolvedPolicy) -> list[Any]:
    """The columns the statement tells: all of them only where rules may ask for any."""
    meta = policy.model._meta
    if policy.has_rules:
        return list(meta.local_concrete_fields)
    return list(dict.fromkeys([*meta.pk_fields, *(n.field for n in policy.narrowing)]))


def _pk_of(policy: ResolvedPolicy, values: Mapping[str, Any]) -> Any:
    """The primary key: a tuple where it is composite."""
    found = tuple(values[field.attname] for field in policy.model._meta.pk_fields)
    return found[0] if len(found) == 1 else found
