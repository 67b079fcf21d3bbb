"""From the rows that a statement itself told to the event that is recorded.

A statement that tells its rows is run within `Telling.around`, and its rows given to `rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.subqueries import UpdateQuery
from msgspec import structs

from cachepatterns.conf import config
from cachepatterns.core.change import Change, RowValues
from cachepatterns.exceptions import WriteRefused
from cachepatterns.observe import BurstLog, InvalidationEvent, PatternEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.transactions import (
    database_id,
    in_manual_mode,
    in_transaction,
    is_undone,
    pending_writes,
)
from cachepatterns.write.ahead import registered_ahead
from cachepatterns.write.changes import (
    closing,
    closing_tags,
    foreseen_tags,
    model_tags,
    only_rows,
    rule_tags,
    told_tags,
    unknown_change,
)
from cachepatterns.write.dispatch import REFUSALS, record, statement_fence
from cachepatterns.write.fence import Fence

log = BurstLog()

Row = Sequence[Any]
Rows = tuple[tuple[str, Mapping[str, Any]], ...]
Pair = tuple[Row | None, Row | None]
"""What a row held before and after, in the order of `policy.told`; `None` where it was not."""
NamedPair = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
"""The same by the fields' attnames."""


NOT_WRITTEN_THROUGH, TOO_MANY = "not written through", "too many rows"


class Telling:
    """One write to one model, by a statement that tells its rows."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        policy: ResolvedPolicy,
        source: str,
        beyond: InvalidationEvent | None = None,
    ) -> None:
        self.connection = connection
        self.policy = policy
        self.source = source
        self.beyond = beyond
        """What the database may change of itself with these rows, in other tables."""
        self.database = database_id(connection)
        self.fields = policy.told
        self.fence: Fence | None = None
        self.query: Any = None
        """Django's query that the statement was made of, where it says which rows it concerns."""

    @contextmanager
    def around(self) -> Iterator[None]:
        """Keep readers away while the statement runs, and whatever ends it lose no write."""
        ahead = None if self.query is None else registered_ahead(self.connection, self.query)
        guarded: set[str] = set()
        if ahead is None:
            self._foresee()
            guarded = closing_tags(self.policy, self.database)
            if self.beyond is not None:
                guarded |= closing(self.beyond.tags)
        with statement_fence(self.connection, guarded, only=self._only, ahead=ahead) as self.fence:
            try:
                yield
            except (*REFUSALS, WriteRefused):
                raise  # it has not been carried out, or will be rolled back
            except BaseException:
                if in_transaction(self.connection) and not is_undone(self.connection):
                    self.everything()  # it may have been, and may yet be committed
                raise

    def _only(self) -> tuple[str, ...]:
        if self.query is None:
            return ()
        try:
            return only_rows(self.query, self.policy, self.connection, self.database)
        except Exception:
            log.log("cachepatterns could not tell which rows a write concerns", exc_info=True)
            return ()

    def _foresee(self) -> None:
        """In a transaction: begin to register what will have been touched, most likely."""
        if not isinstance(self.query, UpdateQuery) or not config().SHORTCUTS:
            return
        if in_transaction(self.connection):
            pending = pending_writes(self.connection)
            if pending is None or not self.policy.is_strict or in_manual_mode(self.connection):
                return
            try:
                tags = foreseen_tags(self.query, self.policy, self.connection, self.database)
            except Exception:
                log.log("cachepatterns could not foresee a write", exc_info=True)
                return
            if tags:
                pending.fence = pending.fence or Fence()
                pending.fence.add(tags, ahead=True)

    def everything(self) -> None:
        """Any row may have been written, or all of them."""
        changes = [unknown_change(self.policy.model, self.connection.alias, self.source)]
        tags = model_tags(self.policy.label, self.database) | rule_tags(self.policy, changes)
        self._record(tags, None)

    def rows(self, pairs: Sequence[Pair]) -> None:
        """Just these rows were written."""
        if not pairs:
            return
        policy = self.policy
        tags = told_tags(policy, self.database, pairs)
        if policy.has_rules:
            tags |= rule_tags(policy, self._changes(pairs))
        through: Rows = ()
        if policy.policy.write_through:
            named = [self._named((None, after))[1] for _, after in pairs]
            through = self._written_through([row for row in named if row is not None])
        self._record(tags, self._pk(pairs[0]) if len(pairs) == 1 else None, through)

    def _named(self, pair: Pair) -> NamedPair:
        """The values by their attnames."""
        before, after = pair
        names = [field.attname for field in self.fields]
        return (
            None if before is None else dict(zip(names, before, strict=True)),
            None if after is None else dict(zip(names, after, strict=True)),
        )

    def _written_through(self, rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Those of the rows that stand in the table now that are to be read again."""
        label = self.policy.label
        if not rows:
            return ()
        if len(rows) > config().WRITE_THROUGH_MAX_ROWS:
            emit(PatternEvent(label, NOT_WRITTEN_THROUGH, len(rows), TOO_MANY))
            return ()
        return tuple((label, row) for row in rows)

    def _pk(self, pair: Pair) -> Any:
        """The primary key: a tuple where it is composite."""
        before, after = pair
        row: Any = before if after is None else after
        found = [row[place] for place in self.policy.told_pk]
        return found[0] if len(found) == 1 else tuple(found)

    def _changes(self, pairs: Sequence[Pair]) -> list[Change]:
        """The rows as the model would give them: through the fields' converters."""
        converters = {}
        for field in self.fields:
            column = field.get_col(self.policy.model._meta.db_table)
            found = [
                *self.connection.ops.get_db_converters(column),
                *column.get_db_converters(self.connection),
            ]
            converters[field.attname] = (column, found)

        def converted(row: Mapping[str, Any] | None) -> RowValues | None:
            if row is None:
                return None
            given = {}
            for attname, value in row.items():
                column, convert = converters[attname]
                for converter in convert:
                    value = converter(value, column, self.connection)
                given[attname] = value
            return RowValues(given)

        changes = []
        for pair in pairs:
            before, after = self._named(pair)
            changes.append(
                Change(
                    model=self.policy.model,
                    pk=self._pk(pair),
                    before=converted(before),
                    after=converted(after),
                    using=self.connection.alias,
                    source=self.source,
                )
            )
        return changes

    def _record(self, tags: set[str], pk: Any, rows: Rows = ()) -> None:
        label, beyond = self.policy.label, self.beyond
        event = InvalidationEvent(
            (label,),
            tuple(sorted(tags)),
            self.source,
            self.connection.alias,
            None if pk is None else str(pk),
            None if pk is None else label,
            rows=rows,
        )
        if beyond is not None:
            event = structs.replace(
                event,
                labels=tuple(sorted({label, *beyond.labels})),
                tags=tuple(sorted(tags.union(beyond.tags))),
                coarse=True,
                site=beyond.site,
            )
        record(self.connection, event, self.fence)


def told_columns(connection: BaseDatabaseWrapper, fields: Sequence[Any], *sides: str) -> list[str]:
    """The columns as they stand in RETURNING, once for each of `sides` (``old``, ``new``)."""
    columns = [connection.ops.quote_name(field.column) for field in fields]
    if not sides:
        return columns
    return [f"{side}.{column}" for side in sides for column in columns]
