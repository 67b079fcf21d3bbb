"""Plans: what is known of all queries of one shape, so that none of them is compiled again.

A plan is made by compiling one query of its shape, as any other is: the tags come from its final
SQL, the decoding from its columns. From then on a key costs a digest of the values. Plans
belong to a connection, whose converters they hold, and to the registry and settings they were
made under; each connection keeps so many of the shapes it has met, and forgets the oldest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import sql
from django.db.models.sql.constants import MULTI

from cachepatterns.conf import Config, config
from cachepatterns.core.key import query_digest, query_key
from cachepatterns.core.sqltext import read_text
from cachepatterns.core.tier import Tier
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.dependencies import dependencies, narrow, tier_for
from cachepatterns.read.instances import Instances
from cachepatterns.read.lease import lease_keys
from cachepatterns.read.lookup import Question, guard_keys, stamp_keys
from cachepatterns.read.options import ReadOptions
from cachepatterns.read.pattern import pattern_of
from cachepatterns.read.shape import Shape, Values, spelled
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, source_id

MAX_PLANS = 500
"""Shapes that a connection remembers."""

ROWS = "rows"
"""The operation that asks for the rows themselves; others ask for a number or two of them."""

_ATTRIBUTE = "_cachepatterns_query_plans"


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """How queries of one shape are asked of the cache."""

    label: str
    key: str
    """All of the key but the digest of the values."""
    stamps: tuple[str, ...]
    """The stamps that every query of the shape rests on, whatever its values."""
    guards: tuple[str, ...]
    leases: tuple[str, ...]
    using: str
    database: str
    narrows: ResolvedPolicy | None
    """The policy of the base model, if a condition may narrow its tag."""
    any_row: str
    """The tag of the base model where none does."""
    pattern: str
    tier: Tier
    is_eventual: bool
    """Whether a model in it is: then nothing is decided by it that will be written."""
    instances: Instances | None

    def question(self, query: Any, values: Values, connection: BaseDatabaseWrapper) -> Question:
        """What to ask for the query of this shape that has these values."""
        stamps, pattern = self.stamps, self.pattern
        if self.narrows is not None:
            found = narrow(query, self.narrows, connection, self.database)
            stamps += stamp_keys(found.tags if found is not None else (self.any_row,))
            if found is not None:
                pattern = f"{pattern}:{found.field}"
        assert self.tier.ttl is not None
        digest = blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=12)
        return Question(
            key=self.key + digest.hexdigest(),
            stamps=stamps,
            guards=self.guards,
            leases=self.leases,
            using=self.using,
            ttl=self.tier.ttl,
            negative_ttl=self.tier.negative_ttl,
            jitter=self.tier.jitter,
            label=self.label,
            pattern=pattern,
        )


class Plans:
    """The plans of one connection; bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, QueryPlan | None] = OrderedDict()
        self._made_under: tuple[Config, int] | None = None

    def find(
        self,
        query: Any,
        shaped: tuple[Shape, Values],
        operation: str,
        using: str,
        connection: BaseDatabaseWrapper,
    ) -> QueryPlan | None:
        """The plan for `query`; `None` if it must be compiled."""
        under = config(), site.generation
        if self._made_under != under:
            self._known.clear()
            self._made_under = under
        name = shaped[0], operation
        try:
            found = self._known[name]
        except KeyError:
            found, lasts = _made(query, shaped, operation, using, connection)
            if lasts:
                self._known[name] = found
                while len(self._known) > MAX_PLANS:
                    self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        return found


def plans_of(connection: BaseDatabaseWrapper) -> Plans:
    plans: Plans | None = connection.__dict__.get(_ATTRIBUTE)
    if plans is None:
        plans = connection.__dict__[_ATTRIBUTE] = Plans()
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
    sample.clear_limits()
    if operation != ROWS:
        sample.select_related = False
        sample.clear_ordering(force=True)
    compiler = sample.get_compiler(using)
    try:
        text, params = compiler.as_sql()
    except EmptyResultSet:
        return None, False  # by its values
    if len(params) != len(values) - marks:
        return None, False  # a list that names a value twice, or an ordering with its own
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
    key = query_key(config().PREFIX, policy.label, policy.fingerprint, source_id(connection), head)
    tags = (*found.always, *options.tags)
    return QueryPlan(
        label=policy.label,
        key=key,
        stamps=stamp_keys(tags),
        guards=guard_keys(tags),
        leases=lease_keys(tags),
        using=using,
        database=database,
        narrows=found.narrows,
        any_row=found.any_row,
        pattern=operation if operation != ROWS else pattern_of(sample, "", MULTI),
        tier=tier,
        is_eventual=any(not p.is_strict for p in found.policies),
        instances=instances,
    ), True
