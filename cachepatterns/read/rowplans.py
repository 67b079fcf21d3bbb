"""How the rows of a model are asked for by one field: what is known of it before any value is.

Plans belong to a connection, whose converters they hold, and to the settings and the registry that
they were made under.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import sql
from django.db.models.sql.constants import MULTI
from msgspec.structs import replace

from cachepatterns.conf import config
from cachepatterns.core import tag
from cachepatterns.core.codec import Row
from cachepatterns.core.key import row_key
from cachepatterns.narrowing import as_stored, finds_equals_only, tag_field
from cachepatterns.policy import Narrowing, ResolvedPolicy
from cachepatterns.read.eligibility import why_not_here
from cachepatterns.read.instances import Instances, has_outdated_from_db
from cachepatterns.read.pattern import row_pattern
from cachepatterns.read.question import Question, question_on
from cachepatterns.read.statement import Statement
from cachepatterns.read.texts import Kept, text_of
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import database_id, place_of, source_id

_PLANS = "_cachepatterns_row_plans"
"""The attribute of a connection that holds its plans: they know it, and must go with it."""


class RowPlan:
    """How the rows of a model are asked for by one field on one connection, and decoded.

    Made once for the settings and the registry in force, and for where the connection leads.
    """

    def __init__(self, policy: ResolvedPolicy, narrowing: Narrowing, using: str) -> None:
        connection = connections[using]
        self._config, self._generation = config(), site.generation
        self._place, self._lookups = place_of(connection), _lookups()
        self.policy, self.narrowing, self.using = policy, narrowing, using
        self.connection = connection
        self._model = policy.model
        query: Any = sql.Query(policy.model)
        compiler = query.get_compiler(using=using)
        compiler.as_sql()
        self._instances: dict[type[models.Model], Instances] = {}
        attnames = [column[0].target.attname for column in compiler.select]
        self.index = attnames.index(narrowing.attname)
        self._columns = [column[0].target.column for column in compiler.select]
        label, database = policy.label, database_id(connection)
        field = tag_field(narrowing, policy)
        part = "" if field == "pk" else f"{field}="
        # Of every value but the value itself.
        self.asked = question_on(
            (tag.model_tag(label, database), tag.field_tag(label, database, field, "")),
            policy.tier,
            key=row_key(config().PREFIX, label, policy.fingerprint, source_id(connection), part),
            using=using,
            label=label,
            pattern=row_pattern(field),
        )
        if narrowing.field.primary_key and policy.is_strict:
            told = tuple([attnames.index(field.attname) for field in policy.told])
            self.asked = replace(self.asked, told=told)
        self.model_stamp, self._stamp = self.asked.stamps
        self.guards, self.leases = self.asked.guards, self.asked.leases
        self._text = Kept()
        self.value_of = operator.attrgetter(narrowing.attname)
        """An instance's value in the plan's field."""

    def is_for(self, policy: ResolvedPolicy) -> bool:
        """Whether nothing has changed since it was made."""
        return (
            self.policy is policy
            and self._config is config()
            and self._generation == site.generation
            and self._place == place_of(self.connection)
            and self._lookups is _lookups()
            and not self.narrowing.field.__dict__.get("instance_lookups")
        )

    def spell(self, value: Any) -> tuple[Any, str]:
        """A value as it is asked for, and its spelling in keys and tags.

        Raises one of `NO_VALUE` for what is no value of the field.
        """
        kind = self.narrowing.kind
        if kind == "integer" and type(value) is int:
            return value, str(value)
        if kind == "text" and type(value) is str:
            return value, tag.canonical(kind, value)
        if hasattr(value, "resolve_expression"):
            raise TypeError(f"{value!r} is no value, but an expression")
        if isinstance(value, tuple):
            raise TypeError(f"{value!r} is several values, of which Django takes the first")
        prepared = self.narrowing.field.get_prep_value(value)
        if prepared is None:
            raise TypeError("NULL equals no value")
        return prepared, tag.canonical(kind, as_stored(self.narrowing, prepared, self.connection))

    def spell_all(self, values: Iterable[Any]) -> dict[str, Any]:
        """Values as they are asked for, by their spellings."""
        values = list(values)
        if self.narrowing.kind == "integer" and set(map(type, values)) == {int}:
            return dict(zip(map(str, values), values, strict=True))
        return {spelled: stored for stored, spelled in map(self.spell, values)}

    def places(self, columns: Container[str]) -> list[int]:
        """Where in the rows these columns stand."""
        return [place for place, column in enumerate(self._columns) if column in columns]

    def keys(self, spelled: Iterable[str]) -> tuple[list[str], list[str]]:
        """Where rows stand, and the stamps of their own that they rest on."""
        key, stamp = self.asked.key, self._stamp
        return [key + value for value in spelled], [stamp + value for value in spelled]

    def question(self, spelled: str) -> Question:
        """What to ask for the row that holds the value."""
        stamps = (self.model_stamp, self._stamp + spelled)
        return replace(self.asked, key=self.asked.key + spelled, stamps=stamps)

    def load(self, values: Sequence[Any]) -> list[Row]:
        """The raw rows that hold one of `values`; one query."""
        if len(values) == 1 and config().SHORTCUTS:
            asked = (values[0],)
            known = self._text.statement(
                asked, lambda: text_of(self._query(values), asked, self.using)
            )
            if known is not None:
                return known()
        return list(chain.from_iterable(self._compiler(values).execute_sql(MULTI)))

    def statement(self, value: Any) -> Statement:
        """The query for the row that holds `value`."""
        text, params = self._compiler([value]).as_sql()
        return Statement(using=self.using, sql=text, params=params)

    def _compiler(self, values: Sequence[Any]) -> Any:
        return self._query(values).get_compiler(using=self.using)

    def _query(self, values: Sequence[Any]) -> Any:
        query: Any = sql.Query(self._model)
        name = self.narrowing.field.attname
        one = {name: values[0]} if len(values) == 1 else {f"{name}__in": values}
        query.add_q(models.Q(**one))
        query.clear_ordering(force=True)
        return query

    def instances(self, rows: Iterable[Row], model: type[models.Model]) -> list[Any]:
        """Fresh instances of `model`, the plan's or a proxy of it."""
        made = self._instances.get(model)
        if made is None:
            compiler: Any = sql.Query(model).get_compiler(using=self.using)
            compiler.as_sql()
            made = self._instances[model] = Instances(compiler, self.using)
        return made(rows)


def why_no_rows(model: type[models.Model], name: str, using: str) -> tuple[RowPlan | None, str]:
    """The plan for asking by the field `name`, and why none may be used now (empty if it may)."""
    policy = site.policy_for(model)
    if policy is None:
        return None, "not registered"
    plan = row_plan(policy, model, name, using)
    if plan is None:
        return None, "no row cache"
    reason = why_not_here(plan.connection, using, policy)
    return (None, reason) if reason else (plan, "")


def row_plan(
    policy: ResolvedPolicy, model: type[models.Model], name: str, using: str
) -> RowPlan | None:
    """The plan for asking by the field `name`, if single rows are cached by it."""
    connection = connections[using]
    plans: dict[Any, RowPlan] = connection.__dict__.setdefault(_PLANS, {})
    plan = plans.get((model, name))
    if plan is None or not plan.is_for(policy):
        narrowing = _narrowing(policy, name)
        if narrowing is None or not _has_rows(model, policy, narrowing, connection):
            return None
        plan = plans[model, name] = RowPlan(policy, narrowing, using)
    return plan


def _narrowing(policy: ResolvedPolicy, name: str) -> Narrowing | None:
    """The unique field of that name, if rows are narrowed by it."""
    if name == "pk":
        return policy.pk
    return policy.unique.get(name)


def _has_rows(
    model: type[models.Model],
    policy: ResolvedPolicy,
    narrowing: Narrowing,
    connection: BaseDatabaseWrapper,
) -> bool:
    """Whether single rows of `model` may be cached; others go by their query."""
    # Of several models on one table, writers name one (see `write.changes.tells_its_table`).
    return (
        policy.tier.caches
        and site.tables().get(table_name(policy.model)) is policy.model
        and _is_plain(policy.model)
        and not policy.depends_on
        and finds_equals_only(narrowing, connection)
        and _is_compared_by_django(narrowing.field)
        and not has_outdated_from_db(model)
    )


_lookups: Callable[[], Any] = models.Field.get_class_lookups
"""Gives another object whenever a lookup was registered, with whatever class of fields."""


def _is_compared_by_django(field: Any) -> bool:
    """Whether nobody has put a lookup of another meaning in the place of these."""
    return not vars(field).get("instance_lookups") and all(
        field.get_lookup(name).__module__.startswith("django.db.models.")
        for name in ("exact", "in")
    )


@lru_cache(maxsize=1024)
def _is_plain(model: type[models.Model]) -> bool:
    """One table, and stock loading: rows of anything else go by their query."""
    meta = model._meta
    return not meta.parents and not getattr(meta, "is_composite_pk", False) and meta.managed
