"""From the rows that a statement itself told to the event that is recorded.

A statement that tells its rows is run by `Telling.run`, and its rows given to `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import structs

from cachepatterns.conf import config
from cachepatterns.core.change import Change, RowValues
from cachepatterns.exceptions import WriteRefused
from cachepatterns.observe import BurstLog, InvalidationEvent, PatternEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.transactions import (
    database_id,
    doom,
    in_manual_mode,
    in_transaction,
    is_undone,
    pending_writes,
)
from cachepatterns.write.changes import (
    closing,
    closing_tags,
    model_tags,
    rule_tags,
    told_tags,
    unknown_change,
)
from cachepatterns.write.coarse import origin
from cachepatterns.write.concerns import Concerned, Foreseen, Pair
from cachepatterns.write.dispatch import REFUSALS, record, statement_fence
from cachepatterns.write.fence import Fence
from cachepatterns.write.meanwhile import meanwhile

log = BurstLog()
R = TypeVar("R")

Rows = tuple[tuple[str, Mapping[str, Any]], ...]
NamedPair = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
"""A `Pair` by the fields' attnames."""


NOT_WRITTEN_THROUGH, TOO_MANY = "not written through", "too many rows"


class Telling:
    """One write to one model, by a statement that tells its rows."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        policy: ResolvedPolicy,
        beyond: InvalidationEvent | None = None,
        *,
        database: str = "",
        source: str = "",
    ) -> None:
        self.connection = connection
        self.policy = policy
        self.beyond = beyond
        """What the database may change of itself with these rows, in other tables."""
        self.database = database or database_id(connection)
        self.fields = policy.told
        self.fence: Fence | None = None
        self.concerned: Concerned | None = None
        """What the statement says of the rows that it is about to touch."""
        self.ahead: Callable[[], Fence | None] = _nothing
        """Takes over what was registered for it ahead."""
        if source:
            self.source = source
        self._foreseen: Foreseen | None = None
        self._expected: InvalidationEvent | None = None
        """The event, if what was foreseen is what is told."""

    @cached_property
    def source(self) -> str:
        """How the write came about: to be asked while the write is on the stack."""
        return origin()[0]

    def run(self, work: Callable[[], R], *, begins: bool = False) -> R:
        """What `work` returns, which sends the statement and tells of its rows. Readers are kept
        away meanwhile, and whatever ends it no write is lost. `begins`: whether the statement
        takes its transaction's BEGIN along."""
        with self._guarding(begins) as self.fence:
            try:
                return work()
            except WriteRefused:
                doom(self.connection)
                raise
            except REFUSALS:
                raise  # it has not been carried out
            except BaseException:
                if in_transaction(self.connection) and not is_undone(self.connection):
                    self.everything()  # it may have been, and may yet be committed
                raise

    def _guarding(self, begins: bool) -> AbstractContextManager[Any]:
        if in_transaction(self.connection):
            if self.concerned is None or not config().SHORTCUTS:
                return nullcontext()
            return meanwhile(self.connection, self._foresee, self._register, at_once=begins)
        ahead = self.ahead()
        if ahead is not None:
            self._foresee()
            return statement_fence(self.connection, (), ahead=ahead)
        guarded = closing_tags(self.policy, self.database)
        if self.beyond is not None:
            guarded |= closing(self.beyond.tags)
        return statement_fence(self.connection, guarded, only=self._only)

    def _only(self) -> Sequence[str]:
        if self.concerned is None:
            return ()
        try:
            return self.concerned.rows()
        except Exception:
            log.log("cachepatterns could not tell which rows a write concerns", exc_info=True)
            return ()

    def _foresee(self) -> None:
        """Work out what the statement most likely concerns, and the event that will tell of it."""
        if self.concerned is None or not self.policy.is_strict or in_manual_mode(self.connection):
            return
        try:
            self._foreseen = found = self.concerned.foreseen()
            if found is not None and found.row is not None:
                self._expected = self._event(found.tags, self._pk((None, found.row)))
        except Exception:
            log.log("cachepatterns could not foresee a write", exc_info=True)

    def _register(self) -> None:
        """Begin to register what was foreseen: before the COMMIT its answer is waited for."""
        pending = pending_writes(self.connection)
        if self._foreseen is not None and pending is not None:
            pending.fence = pending.fence or Fence()
            pending.fence.add(self._foreseen.tags, ahead=True)

    def everything(self) -> None:
        """Any row may have been written, or all of them."""
        changes = [unknown_change(self.policy.model, self.connection.alias, self.source)]
        tags = model_tags(self.policy.label, self.database) | rule_tags(self.policy, changes)
        record(self.connection, self._event(tags, None), self.fence)

    def rows(self, pairs: Sequence[Pair]) -> None:
        """Just these rows were written."""
        if not pairs:
            return
        foreseen, event = self._foreseen, self._expected
        if event is None or foreseen is None or not foreseen.is_told(pairs):
            try:
                event = self._event_of(pairs)
            except Exception:  # the statement has been carried out: this is no error of its
                log.log("cachepatterns could not account for a write", exc_info=True)
                self.everything()
                return
        record(self.connection, event, self.fence)

    def _event_of(self, pairs: Sequence[Pair]) -> InvalidationEvent:
        policy = self.policy
        tags = told_tags(policy, self.database, pairs)
        if policy.has_rules:
            tags |= rule_tags(policy, self._changes(pairs))
        through: Rows = ()
        if policy.policy.write_through:
            named = [self._named((None, after))[1] for _, after in pairs]
            through = self._written_through([row for row in named if row is not None])
        return self._event(tags, self._pk(pairs[0]) if len(pairs) == 1 else None, through)

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

    def _event(self, tags: Iterable[str], pk: Any, rows: Rows = ()) -> InvalidationEvent:
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
                tags=tuple(sorted({*tags, *beyond.tags})),
                coarse=True,
                site=beyond.site,
            )
        return event


def _nothing() -> None:
    """Nothing was registered ahead."""


def told_columns(connection: BaseDatabaseWrapper, fields: Sequence[Any], *sides: str) -> list[str]:
    """The columns as they stand in RETURNING, once for each of `sides` (``old``, ``new``)."""
    columns = [connection.ops.quote_name(field.column) for field in fields]
    if not sides:
        return columns
    return [f"{side}.{column}" for side in sides for column in columns]
