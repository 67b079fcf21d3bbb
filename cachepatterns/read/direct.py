"""Answers to queries of a known shape, without compiling them.

Each function gives the answer, or `None` where the query must take the long way: no shape, no
plan, nothing to be cached here and now. The long way asks everything again, and counts why.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property, partial
from itertools import chain
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.sql.constants import MULTI

from cachepatterns.conf import config
from cachepatterns.core import asked as forms
from cachepatterns.core.codec import Row
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.read.asking import Noting, sent_by
from cachepatterns.read.columnwise import wanted_of
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.eligibility import why_not_here, why_not_this
from cachepatterns.read.instances import is_stock_fetch_mode, link_known
from cachepatterns.read.lookup import read
from cachepatterns.read.plans import ROWS, QueryPlan, plain, plans_of
from cachepatterns.read.question import Load
from cachepatterns.read.shape import Values, shape_of
from cachepatterns.read.statement import compiled
from cachepatterns.read.texts import Text, text_of, text_of_number
from cachepatterns.registry import site


def fetch(queryset: Any) -> list[Any] | None:
    """What iterating `queryset` gives."""
    finish = _FINISH.get(queryset._iterable_class)
    if finish is None or not is_stock_fetch_mode(queryset):
        return None

    found = _ask(queryset, ROWS, _Rows)
    return None if found is None else finish(queryset, *found)


class _Rows:
    """Asks the database for the rows of a queryset.

    The statement itself is compiled only where it is wanted: for the share of the entries beside
    which it is kept (`read.asking`), to be sent without the reader, and where the text of such
    queries is not known yet (`read.texts`).
    """

    asked_for = MULTI

    def __init__(self, queryset: Any, using: str, plan: QueryPlan, values: Values) -> None:
        self._queryset, self._using = queryset, using
        self._plan, self._values = plan, values

    def __call__(self) -> list[Row]:
        known = self._plan.text.statement(self._values, self._text)
        if known is not None:
            return known()
        found = plain(self._queryset.query).get_compiler(self._using).execute_sql(MULTI)
        return list(chain.from_iterable(found))

    def _text(self) -> Text | None:
        return text_of(plain(self._queryset.query), self._values, self._using)

    def again(self) -> Load:
        return compiled(self, self._using)

    @cached_property
    def _compiler(self) -> Any:
        return plain(self._queryset.query).get_compiler(self._using)

    @cached_property
    def asked(self) -> tuple[str, tuple[Any, ...]]:
        statement: tuple[str, tuple[Any, ...]] = self._compiler.as_sql()
        return statement

    @property
    def query(self) -> Any:
        return self._compiler.query

    @property
    def col_count(self) -> int | None:
        """How many columns the answer has; known once it is compiled."""
        found: int | None = self._compiler.col_count if self.asked else None
        return found

    @property
    def has_extra_select(self) -> bool:
        return bool(self._compiler.has_extra_select if self.asked else False)


def count(queryset: Any) -> int | None:
    """`queryset.count()`."""
    found = _ask(queryset, "count", _Count)
    return None if found is None else found[0][0][0]


def exists(queryset: Any) -> bool | None:
    """`queryset.exists()`."""
    found = _ask(queryset, "exists", _Exists)
    return None if found is None else bool(found[0])


def aggregate(queryset: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`queryset.aggregate(*args, **kwargs)`, of plain aggregates of the model's own columns."""
    wanted = wanted_of(queryset.model, args, kwargs)
    if wanted is None:
        return None

    asking = partial(_Aggregates, wanted.spelled, args, kwargs)
    found = _ask(queryset, "aggregate", asking, wanted.told)
    if found is None:
        return None
    numbers = found[0][0]
    return {alias: numbers[at] for at, alias in wanted.places}


class _Number(Noting):
    """Asks the database for a number or two of a queryset, as only Django knows to spell it."""

    __slots__ = ("_plan", "_queryset", "_values")

    _ordered = True
    _aggregates: tuple[tuple[str, str], ...] = ()

    def __init__(self, queryset: Any, using: str, plan: QueryPlan, values: Values) -> None:
        self._using, self._sent = using, ()  # as `Noting` does: each hit makes one
        self._queryset, self._plan, self._values = queryset, plan, values

    @abstractmethod
    def _ask(self, plain_set: QuerySet[Any]) -> list[Row]:
        """What an entry holds of Django's answer for `plain_set`."""

    def _load(self) -> list[Row]:
        known = self._plan.text.statement(self._values, self._text, self._aggregates)
        return self._load_by_django() if known is None else known()

    def _load_by_django(self) -> list[Row]:
        return self._ask(_plain_set(self._queryset, self._using))

    def _text(self) -> Text | None:
        sent = sent_by(self._load_by_django, connections[self._using])
        query, model = plain(self._queryset.query), self._queryset.model
        how = {"form": self._form, "aggregates": self._aggregates, "model": model}
        if sent is None:
            return None
        return text_of_number(query, self._values, self._using, sent, **how)

    def again(self) -> Load:
        return self.of(partial(self._ask, _plain_set(self._queryset, self._using)))


class _Count(_Number):
    __slots__ = ()

    _form = forms.ROWS

    def _ask(self, plain_set: QuerySet[Any]) -> list[Row]:
        return [(plain_set.count(),)]


class _Exists(_Number):
    __slots__ = ()

    _form = forms.EXISTS

    def _ask(self, plain_set: QuerySet[Any]) -> list[Row]:
        return [(1,)] if plain_set.exists() else []


class _Aggregates(_Number):
    __slots__ = ("_aggregates", "_args", "_kwargs")

    _form = forms.AGGREGATES
    _ordered = False  # of a slice whose order is not told it may be of other rows each time

    def __init__(
        self,
        aggregates: tuple[tuple[str, str], ...],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        queryset: Any,
        using: str,
        plan: QueryPlan,
        values: Values,
    ) -> None:
        super().__init__(queryset, using, plan, values)
        self._aggregates, self._args, self._kwargs = aggregates, args, kwargs

    def _ask(self, plain_set: QuerySet[Any]) -> list[Row]:
        return [tuple(plain_set.aggregate(*self._args, **self._kwargs).values())]


def _ask(
    queryset: Any,
    operation: str,
    asking: Callable[[Any, str, QueryPlan, Values], Any],
    more: str = "",
) -> tuple[list[Row], QueryPlan] | None:
    """The rows that answer, and how they are decoded. `asking` makes what asks an alias
    for a queryset that has the values of a plan."""
    if not config().SHORTCUTS or queryset._for_write:
        return None
    recipe = queryset._cachepatterns_recipe
    policy = site.policy_for(queryset.model if recipe is not None else queryset.query.model)
    if policy is None:
        return None
    using = queryset.db
    connection = connections[using]
    if why_not_here(connection, using, policy):
        return None
    plans = plans_of(connection)
    if recipe is not None:
        plan = plans.of_recipe(recipe, operation, using, lambda: queryset.query)
        values = recipe.shaped()
    else:
        query = queryset.query
        if "cache_options" not in vars(type(query)):
            return None  # a class of somebody else's, who may build its SQL otherwise
        shaped = None if why_not_this(query, query.cache_options) else shape_of(query)
        if shaped is None:
            return None
        plan, values = plans.of_shape(query, shaped, operation, using), shaped[1]
    if plan is None or (plan.is_eventual and decides_a_write()):
        return None
    try:
        question = plan.question(values, more)
    except NO_VALUE:
        return None
    load = asking(queryset, using, plan, values)
    return read(question, load, load, again=load.again), plan


def _plain_set(queryset: Any, using: str) -> QuerySet[Any]:
    return QuerySet(model=queryset.model, query=plain(queryset.query), using=using)


# -- from rows to what each kind of queryset holds -------------------------------------------


def _as_instances(queryset: Any, rows: list[Row], plan: QueryPlan) -> list[Any]:
    assert plan.instances is not None
    found = plan.instances(rows)
    if queryset._known_related_objects:
        link_known(queryset, found)
    return found


def _as_tuples(queryset: Any, rows: list[Row], plan: QueryPlan) -> list[Any]:
    assert plan.instances is not None
    converted = plan.instances.converted(rows)
    return rows if converted is rows else list(map(tuple, converted))  # else they are lists


def _as_values(queryset: Any, rows: list[Row], plan: QueryPlan) -> list[Any]:
    assert plan.instances is not None
    return [row[0] for row in plan.instances.converted(rows)]


def _as_dicts(queryset: Any, rows: list[Row], plan: QueryPlan) -> list[Any]:
    assert plan.instances is not None
    names = plan.names
    return [dict(zip(names, row, strict=False)) for row in plan.instances.converted(rows)]


_FINISH: dict[type, Callable[[Any, list[Row], QueryPlan], list[Any]]] = {
    ModelIterable: _as_instances,
    ValuesIterable: _as_dicts,
    ValuesListIterable: _as_tuples,
    FlatValuesListIterable: _as_values,
}
