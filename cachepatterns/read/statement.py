"""A SELECT as Django has sent it, to be sent again: in another thread, or in another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.models import Avg, Count, Max, Min, Sum, sql
from django.db.models.sql.constants import SINGLE

from cachepatterns.core import asked as forms
from cachepatterns.core.asked import Asked
from cachepatterns.core.codec import Row
from cachepatterns.read.orders import is_count, is_told_to_the_last_row

AGGREGATES = frozenset({Avg, Count, Max, Min, Sum})
"""Those whose like is known by their class and their column."""
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in AGGREGATES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """Called, it gives what an entry holds of the answer. The fields are those of `Asked`."""

    using: str
    sql: str
    params: Any
    single: bool = False
    columns: int | None = None
    form: str = forms.ROWS
    aggregates: tuple[tuple[str, str], ...] = ()
    model: type[models.Model] | None = None
    """Whose columns are aggregated."""
    query: Any = None
    """Django's, where it is known: it tells whether its order leaves a choice."""

    def __call__(self) -> list[Row]:
        """Ask, on this thread's connection. Raises Django's `DatabaseError`."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(self.sql, self.params)
            rows = cursor.fetchmany(1) if self.single else cursor.fetchall()
            # psycopg makes an object of each column to describe it.
            described = cursor.description if self.form == forms.RAW else ()
        if self.form == forms.EXISTS:
            return [(1,)] if rows else []
        if self.form == forms.RAW:
            names = [column[0] for column in described or ()]
            columns = [list(values) for values in zip(*rows, strict=True)]
            return [(names, *(columns or [[] for _ in names]))]
        found = [tuple(row[: self.columns]) for row in rows]
        return self._converted(found) if self.form == forms.AGGREGATES else found

    def as_asked(self, question: Any) -> bytes:
        """The bytes of `core.asked`; raises `UnstorableValue` for parameters it can not hold."""
        query = self.query
        return forms.pack(
            self.using,
            self.sql,
            self.params,
            stamps=question.stamps,
            guards=question.guards,
            single=self.single,
            columns=self.columns,
            ordered=query is not None and (is_count(query) or is_told_to_the_last_row(query)),
            form=self.form,
            aggregates=self.aggregates,
        )

    def _converted(self, rows: list[Row]) -> list[Row]:
        """Numbers as `aggregate()` gives them, and entries hold them."""
        query = sql.Query(self.model)
        columns = [
            _KINDS[kind](column).resolve_expression(query) for kind, column in self.aggregates
        ]
        compiler = query.get_compiler(self.using)
        converters = compiler.get_converters(columns)
        return [tuple(row) for row in compiler.apply_converters(rows, converters)]


def compiled(compiler: Any, using: str) -> Statement:
    """What a compiler has compiled: `asked`, to be fetched as `asked_for` says."""
    text, params = compiler.asked
    single = compiler.asked_for == SINGLE
    columns = compiler.col_count if single or compiler.has_extra_select else None
    return Statement(
        using=using,
        sql=text,
        params=params,
        single=single,
        columns=columns,
        query=compiler.query,
    )


def told(question: Asked, model: type[models.Model] | None, using: str) -> Statement:
    """The statement that was kept as `question`. Raises `CorruptEntry`."""
    return Statement(
        using=using,
        sql=question.sql,
        params=_driver_values(question),
        single=question.single,
        columns=question.columns,
        form=question.form,
        aggregates=tuple(question.aggregates),
        model=model,
    )


def _driver_values(question: Asked) -> Any:
    """The parameters as they were sent, in the driver's own types."""
    values = question.parameters()
    if any(question.kinds):
        from psycopg.types import numeric

        pairs = zip(values, question.kinds, strict=True)
        values = [getattr(numeric, kind)(value) if kind else value for value, kind in pairs]
    return dict(zip(question.names, values, strict=True)) if question.names else values
