"""Plans: what is known of all queries of one shape, so that none of them is compiled again.

A plan is made by compiling one query of its shape, as any other is: the tags come from its final
SQL, the decoding from its columns. From then on a key costs a digest of the values. Plans
belong to a connection, whose converters they hold, and to the registry and settings they were
made under; each connection keeps so many of the shapes it has met, and forgets the oldest.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import sql
from django.db.models.sql.constants import MULTI
from msgspec.structs import replace

from cachepatterns.conf import Config, config
from cachepatterns.core import tag
from cachepatterns.core.key import query_digest, query_key, tag_key
from cachepatterns.core.sqltext import read_text
from cachepatterns.narrowing import NO_VALUE, narrowing_lookups, spellings, tag_field, values_of
from cachepatterns.policy import Narrowing, ResolvedPolicy
from cachepatterns.read.dependencies import dependencies, tier_for
from cachepatterns.read.instances import Instances
from cachepatterns.read.options import ReadOptions
from cachepatterns.read.pattern import pattern_of
from cachepatterns.read.question import Question, question_on
from cachepatterns.read.recipe import Recipe, Step
from cachepatterns.read.shape import Shape, Values, places_of, shape_of, spelled
from cachepatterns.read.texts import Kept
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, place_of, source_id

MAX_PLANS = 500
"""Shapes that a connection remembers."""

ROWS = "rows"
"""The operation that asks for the rows themselves; others ask for a number or two of them."""

_ATTRIBUTE = "_cachepatterns_query_plans"


class FieldTags(msgspec.Struct, frozen=True):
    """The stamps of a narrowing field's tags, by the values of a shape."""

    prefix: str
    """All of the stamp's key but the value."""
    at: slice
    """Where among the values the field's stand."""
    narrowing: Narrowing
    connection: BaseDatabaseWrapper

    def stamps(self, values: Values) -> tuple[str, ...]:
        """Raises one of `NO_VALUE`, as `spellings` does."""
        asked = values[self.at]
        if len(asked) == 1:
            kind, (value,) = self.narrowing.kind, asked
            if kind == "integer" and type(value) is int:
                return (f"{self.prefix}{value}",)
            if kind == "text" and type(value) is str:
                return (self.prefix + tag.canonical(kind, value),)
        spelled = spellings(self.narrowing, asked, self.connection)
        return tuple([self.prefix + value for value in spelled])


class QueryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How queries of one shape are asked of the cache."""

    asked: Question
    """What is asked, but for the digest of the values in its key, and the stamps that depend on
    them."""
    by_field: FieldTags | None
    """The stamps that do; `None` where no condition narrows the base model's tag."""
    is_eventual: bool
    """Whether a model in it is: then nothing is decided by it that will be written."""
    instances: Instances | None
    names: tuple[str, ...]
    """What the columns are called in ``values()``."""
    text: Kept
    """What the database is asked."""

    def question(self, values: Values, more: str = "") -> Question:
        """What to ask for the query of this shape that has these values; `more` tells it from
        others that have them too. Raises one of `NO_VALUE` for what has no tags."""
        asked, stamps = self.asked, self.asked.stamps
        if self.by_field is not None:
            stamps += self.by_field.stamps(values)
        told = (repr(values) + more).encode("utf-8", "surrogatepass")
        digest = blake2b(told, digest_size=12).hexdigest()
        return replace(asked, key=asked.key + digest, stamps=stamps)


class Plans:
    """The plans of one connection; bounded."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._by_shape: OrderedDict[tuple[Shape, str], QueryPlan | None] = OrderedDict()
        self._by_step: OrderedDict[tuple[Step, str], QueryPlan] = OrderedDict()
        self._made_under: tuple[Config | None, int, tuple[str, ...]] = (None, 0, ())

    def of_shape(
        self, query: Any, shaped: tuple[Shape, Values], operation: str, using: str
    ) -> QueryPlan | None:
        """The plan for `query`; `None` if it must be compiled."""
        self._forget_the_outdated()
        name = shaped[0], operation
        try:
            found = self._by_shape[name]
        except KeyError:
            found, lasts = _made(query, shaped, operation, using, self._connection)
            if lasts:
                _remember(self._by_shape, name, found)
        else:
            self._by_shape.move_to_end(name)
        return found

    def of_recipe(
        self, recipe: Recipe, operation: str, using: str, build: Callable[[], Any]
    ) -> QueryPlan | None:
        """The plan for the query that `build` would build, which is that of its shape."""
        self._forget_the_outdated()
        name = recipe.step, operation
        found: QueryPlan | None = self._by_step.get(name)
        if found is not None:
            self._by_step.move_to_end(name)
            return found
        query = build()
        shaped = shape_of(query)
        if shaped is not None and _are_same(shaped[1], recipe.shaped()):
            found = self.of_shape(query, shaped, operation, using)
        if found is not None:
            _remember(self._by_step, name, found)
        return found

    def _forget_the_outdated(self) -> None:
        settings, generation, place = self._made_under
        now = place_of(self._connection)
        if settings is not config() or generation != site.generation or place != now:
            self._by_shape.clear()
            self._by_step.clear()
            self._made_under = config(), site.generation, now


def _are_same(values: Any, others: Any) -> bool:
    try:
        return repr(values) == repr(others)
    except ValueError:  # an integer of more digits than Python writes down
        return False


def _remember(plans: OrderedDict[Any, Any], name: Any, plan: QueryPlan | None) -> None:
    plans[name] = plan
    while len(plans) > MAX_PLANS:
        plans.popitem(last=False)


def plans_of(connection: BaseDatabaseWrapper) -> Plans:
    plans: Plans | None = connection.__dict__.get(_ATTRIBUTE)
    if plans is None:
        plans = connection.__dict__[_ATTRIBUTE] = Plans(connection)
    return plans


def plain(query: Any) -> Any:
    """A copy of a cached query that asks the database only."""
    clone = query.clone()
    clone.__class__ = sql.Query
    return clone


def _made(
    query: Any,
    shaped: tuple[Shape, Values],
    operation: str,
    using: str,
    connection: BaseDatabaseWrapper,
) -> tuple[QueryPlan | None, bool]:
    """The plan for `query` and its like, and whether that holds for all of its shape."""
    shape, values = shaped
    policy = site.policy_for(query.model)
    assert policy is not None
    sample = plain(query)
    marks = sum(name in vars(sample) for name in ("low_mark", "high_mark"))
    if operation != ROWS:
        sample.select_related = False
        # Of a slice it says which rows are counted. Only `exists` does without, as Django does.
        sample.clear_ordering(force=operation == "exists")
    sample.clear_limits()
    compiler = sample.get_compiler(using)
    try:
        text, params = compiler.as_sql()
    except EmptyResultSet:
        return None, False  # by its values
    if len(params) != len(values) - marks:
        return None, False  # a list that names a value twice, or an ordering with its own
    if tuple(params) != _of_conditions(compiler, sample):
        return None, False  # both at once
    database = database_id(connection)
    found = dependencies(sample, read_text(text), site, connection, database)
    if found.reason:
        return None, True
    options: ReadOptions = query.cache_options
    tier = tier_for(found, options)
    if tier.ttl is None:
        return None, True
    instances = Instances(compiler, using) if operation == ROWS else None
    if instances is not None and instances.are_django_s_to_make:
        return None, True
    schemas = sorted({p.fingerprint for p in found.policies})
    own = (str(options.ttl), str(options.tier), *options.tags)
    # The text alone does not tell which values they are: `[:5]` and `[5:]`, or what a text
    # contains and what it starts with, are written alike. The shape does.
    told = (spelled(shape), operation, str(compiler.col_count), *schemas, *own)
    head = query_digest(text, (), *told)[:16]
    tags, pattern, by_field = [*found.always, *options.tags], operation, None
    if operation == ROWS:
        pattern = pattern_of(sample, "", MULTI)
    if found.narrows is not None:
        narrowed, by_field, field = _narrowed(query, found.narrows, connection, database)
        tags += narrowed or ([] if by_field else [found.any_row])
        pattern = f"{pattern}:{field}" if field else pattern
    return QueryPlan(
        asked=question_on(
            tags,
            tier,
            key=query_key(
                config().PREFIX, policy.label, policy.fingerprint, source_id(connection), head
            ),
            using=using,
            label=policy.label,
            pattern=pattern,
        ),
        by_field=by_field,
        is_eventual=any(not p.is_strict for p in found.policies),
        instances=instances,
        names=tuple(query.selected or query.values_select),
        text=Kept(),
    ), True


def _of_conditions(compiler: Any, query: Any) -> tuple[Any, ...]:
    """The parameters of its conditions alone."""
    try:
        return tuple(compiler.compile(query.where)[1]) if query.where else ()
    except FullResultSet:
        return ()


def _narrowed(
    query: Any, policy: ResolvedPolicy, connection: BaseDatabaseWrapper, database: str
) -> tuple[list[str], FieldTags | None, str]:
    """To which tags the best of the conditions narrows queries of this shape, and the field.

    The tags themselves where the shape holds the condition's values, as it does with booleans.
    """
    for narrowing, lookup in narrowing_lookups(query, policy, connection):
        field, values = tag_field(narrowing, policy), values_of(lookup)
        at = places_of(query)[id(lookup)]
        with contextlib.suppress(*NO_VALUE):
            spelled = spellings(narrowing, values, connection)
            if at.start == at.stop:
                tags = [tag.field_tag(policy.label, database, field, each) for each in spelled]
                return tags, None, field
            if at.stop - at.start == len(values):
                named = tag.field_tag(policy.label, database, field, "")
                prefix = tag_key(config().PREFIX, named)
                return [], FieldTags(prefix, at, narrowing, connection), field
    return [], None, ""
