"""The text of all queries of one shape, so that what is missing is asked for without compiling.

Building a query and compiling it takes Django as long as the database takes to answer it. Queries
of one shape have one text, though (`read.shape`): only the values in their conditions differ, and
the bounds of a slice, which stand at its end. So the text is kept, and of a query to come only its
conditions are compiled, by Django's own lookups. Where one of these is written otherwise than it
was, or can not be true of any row, the query is built and compiled as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet

from cachepatterns.read.conditions import Shapeless, lookups_of
from cachepatterns.read.shape import Values, places_of
from cachepatterns.read.statement import Statement

MAX_TEXTS = 32
"""Texts that a plan keeps: of its rows one, of aggregates one for each choice of them."""
_UNASKED: Any = object()
_ASKED: Any = object()
_ONE_QUERY_S = frozenset({"identity", "output_field", "rhs"})
"""What a lookup holds that is of one query: its value, and what it has worked out of that."""


class _Condition(msgspec.Struct, frozen=True):
    """One lookup of the shape, and where among the values its own stand."""

    kind: type
    attributes: Mapping[str, Any]
    is_list: bool
    at: slice
    text: str
    fixed: Sequence[Any] | None
    """Its parameters, where the shape itself holds its value."""

    def parameters(self, values: Values, compiler: Any) -> Sequence[Any] | None:
        """Those that Django's own lookup makes of these values; `None` if its text differs."""
        if self.fixed is not None:
            return self.fixed
        lookup: Any = object.__new__(self.kind)
        asked = values[self.at]
        lookup.__dict__.update(self.attributes, rhs=list(asked) if self.is_list else asked[0])
        text, parameters = compiler.compile(lookup)
        return parameters if text == self.text else None


class Kept:
    """The texts of a plan, each worked out when the database is to be asked for the second time:
    most plans that are made for one query alone never are."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Any, Text | None] = {}

    def statement(
        self, values: Values, made: Callable[[], Text | None], of: Any = ()
    ) -> Statement | None:
        """The statement for the query of these values; `None` where Django must compile it.
        `made` makes the text; `of` tells several of one plan apart, as its aggregates do."""
        text = self._known.get(of, _UNASKED)
        if text is _UNASKED:
            if len(self._known) < MAX_TEXTS:
                self._known[of] = _ASKED
            return None
        if text is _ASKED:
            text = self._known[of] = None  # if it can not be kept, it is not tried again
            with suppress(EmptyResultSet, FullResultSet, Shapeless):
                text = self._known[of] = made()
        return None if text is None else text.statement(values)


class Text:
    """The statement of the queries of one shape on one connection."""

    def __init__(
        self, statement: Statement, compiler: Any, conditions: Sequence[_Condition], marks: Any
    ) -> None:
        self._statement, self._compiler = statement, compiler
        self._conditions = conditions
        self._low, self._high = marks

    def statement(self, values: Values) -> Statement | None:
        """The query of the shape that has these values; `None` where Django must compile it."""
        parameters: list[Any] = []
        try:
            for condition in self._conditions:
                found = condition.parameters(values, self._compiler)
                if found is None:
                    return None
                parameters += found
        except (EmptyResultSet, FullResultSet):
            return None
        sql = self._statement.sql
        if self._low is not None or self._high is not None:
            low = values[self._low] if self._low is not None else 0
            high = values[self._high] if self._high is not None else None
            sql = _sliced(sql, low, high, self._compiler)
        return replace(self._statement, sql=sql, params=tuple(parameters))


def text_of(query: Any, values: Values, using: str) -> Text | None:
    """The text of the rows of queries of the shape of `query`, a plain one of these values.

    `None` where keeping it does not lead to the very statement that Django compiles.
    """
    whole = query.get_compiler(using)
    sent = whole.as_sql()
    unsliced = query.clone()
    unsliced.clear_limits()
    compiler = unsliced.get_compiler(using)
    base, _ = compiler.as_sql()
    columns = compiler.col_count if compiler.has_extra_select else None
    statement = Statement(using=using, sql=base, params=(), columns=columns)
    return _checked(statement, query, values, sent, compiler)


def text_of_number(
    query: Any, values: Values, using: str, sent: tuple[str, Any], **how: Any
) -> Text | None:
    """The same of a number that Django makes of such a query: a count, aggregates, …

    `sent` is what it sends for these values, and `how` says what is made of the answer (the
    fields of `Statement`). Of a slice, its bounds are within the text.
    """
    sql, parameters = sent
    if {"low_mark", "high_mark"} & places_of(query).keys() or parameters is None:
        return None
    statement = Statement(using=using, sql=sql, params=(), **how)
    return _checked(statement, query, values, sent, query.get_compiler(using))


def _checked(
    statement: Statement, query: Any, values: Values, sent: tuple[str, Any], compiler: Any
) -> Text | None:
    """The text, if it leads to what was sent."""
    places, lookups = places_of(query), {id(each): each for each in lookups_of(query)}
    if sum(at.stop - at.start for at in places.values()) != len(values):
        return None  # a value that is part of the text: True, or None of which IS NULL was made
    # In the order of the places, which is that of the text.
    conditions = [_condition(lookups[at], places[at], compiler) for at in places if at in lookups]
    marks = [places[name].start if name in places else None for name in ("low_mark", "high_mark")]
    text = Text(statement, compiler, conditions, marks)
    made = text.statement(values)
    same = made is not None and made.sql == sent[0] and _alike(made.params, sent[1])
    return text if same else None


def _alike(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return [(type(each), each) for each in some] == [(type(each), each) for each in others]


def _condition(lookup: Any, at: slice, compiler: Any) -> _Condition:
    text, parameters = compiler.compile(lookup)
    attributes = {name: kept for name, kept in vars(lookup).items() if name not in _ONE_QUERY_S}
    return _Condition(
        kind=type(lookup),
        attributes=attributes,
        is_list=isinstance(lookup.rhs, (list, tuple)),
        at=at,
        text=text,
        fixed=tuple(parameters) if at.start == at.stop else None,
    )


def _sliced(sql: str, low: int, high: int | None, compiler: Any) -> str:
    bounds = compiler.connection.ops.limit_offset_sql(low, high)
    return f"{sql} {bounds}" if bounds else sql
