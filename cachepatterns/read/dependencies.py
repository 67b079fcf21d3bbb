"""What a query depends on: the tags its entry must carry.

Which models, the final SQL tells (`core.sqltext`). How narrowly, the query's own WHERE
tells, and only where one exact condition on the base table must hold for every row: then
writes that touch no such row, before or after, cannot change the result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.core import tag
from cachepatterns.core.sqlcolumns import used_names
from cachepatterns.core.sqltext import ReadText
from cachepatterns.core.tier import Tier, strictest
from cachepatterns.declarations import ModelType
from cachepatterns.narrowing import (
    NO_VALUE,
    narrowing_lookups,
    spellings,
    tag_field,
    values_of,
)
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.options import ReadOptions
from cachepatterns.registry import Registry, table_name, tiers


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The tags of all rows that may be in a result, by the field whose values they name."""

    field: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an entry rests on, or the reason why there can be no entry.

    `always` are the tags whatever the query's values; beside them stands what its values
    narrow the base model to, or, where nothing does, the base model's any-row tag.
    """

    always: tuple[str, ...] = ()
    policies: tuple[ResolvedPolicy, ...] = ()
    narrows: ResolvedPolicy | None = None
    """The base model's policy, if conditions may narrow it."""
    any_row: str = ""
    narrowed: Narrowed | None = None
    reason: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        if self.narrows is None:
            return self.always
        return (*self.always, *(self.narrowed.tags if self.narrowed else (self.any_row,)))

    @property
    def narrowed_by(self) -> str:
        """The field the base model's tags are narrowed by, for people."""
        return self.narrowed.field if self.narrowed else ""


def dependencies(
    query: Any, text: ReadText, registry: Registry, connection: BaseDatabaseWrapper, database: str
) -> Dependencies:
    """The tags of `query`, whose final SQL is `text`, in the named database."""
    pure = {name.lower() for name in config().PURE_FUNCTIONS}
    pure |= _filtered_relations(query) - text.called
    foreign = [word for word in text.foreign_words if word not in pure]
    if foreign:
        return Dependencies(reason=f"unknown word {foreign[0]}")
    tables, tracked = registry.tables(), registry.tracked()
    if called := text.bare & tables.keys():
        return Dependencies(reason=f"unknown word {min(called)}")
    base = table_name(query.model)
    tags: list[str] = []
    policies: list[ResolvedPolicy] = []
    narrows: ResolvedPolicy | None = None
    any_row = ""
    for name, _times in text.relations:
        if name.lower() not in tables:
            return Dependencies(reason=f"unknown table {name}")
    for name in sorted(text.names):
        model = tables.get(name.lower())
        if model is None:
            continue
        if name.lower() not in tracked:
            if not text.times(name):
                continue  # a column or an alias that happens to be called like a table
            return Dependencies(reason=f"{model._meta.label_lower} not registered")
        policy = registry.policy_for(model)
        if policy is not None:
            if not policy.tier.caches:
                return Dependencies(reason=never_cached(policy))
            policies.append(policy)
            if policy.ignored and not policy.ignored.isdisjoint(used_names(text.sql)):
                tags.append(tag.ignored_tag(policy.label, database))
        label = model._meta.label_lower
        tags.append(tag.model_tag(label, database))
        if name.lower() == base and policy is not None and text.times(name) == 1:
            narrows, any_row = policy, tag.any_row_tag(label, database)
        else:
            tags.append(tag.any_row_tag(label, database))
        for source in registry.depends_on(model):
            tags += _whole(source, registry, database)
    if not tags:
        return Dependencies(reason="no table")
    always = tuple(dict.fromkeys(tags))
    narrowed = narrow(query, narrows, connection, database) if narrows else None
    return Dependencies(always, tuple(policies), narrows, any_row, narrowed)


def tables_read(
    names: Iterable[str], declared: Iterable[ModelType], registry: Registry, database: str
) -> Dependencies:
    """The tags of raw SQL that holds the words `names`, and reads the tables `declared`."""
    tracked = registry.tracked()
    found = {table: tracked[table] for table in {*names, *map(table_name, declared)} & {*tracked}}
    tags: dict[str, None] = {}
    policies: list[ResolvedPolicy] = []
    for _table, model in sorted(found.items()):
        policy = registry.policy_for(model)
        if policy is not None:
            if not policy.tier.caches:
                return Dependencies(reason=never_cached(policy))
            policies.append(policy)
        for read in (model, *registry.depends_on(model)):
            tags |= dict.fromkeys(_whole(read, registry, database))
    return Dependencies(tuple(tags), tuple(policies))


def _whole(model: ModelType, registry: Registry, database: str) -> list[str]:
    """What rests on any row and any column of the model."""
    label, policy = model._meta.label_lower, registry.policy_for(model)
    tags = [tag.model_tag(label, database), tag.any_row_tag(label, database)]
    if policy is not None and policy.ignored:
        tags.append(tag.ignored_tag(label, database))
    return tags


def never_cached(policy: ResolvedPolicy) -> str:
    return f"{policy.label} is never cached"


def tier_for(found: Dependencies, options: ReadOptions) -> Tier:
    """The shortest TTLs of all models in the query, unless the caller said otherwise."""
    if options.ttl is not None:
        return Tier(name="", ttl=options.ttl, jitter=0.0)
    if options.tier is not None:
        chosen = tiers()[options.tier]
        accepted = [policy.policy.accepts_staleness or 0.0 for policy in found.policies]
        return replace(
            chosen,
            accepts=min(accepted, default=0.0) if chosen.local else 0.0,
            serves_invalidated=min(
                [policy.tier.serves_invalidated for policy in found.policies], default=0.0
            ),
        )
    return strictest([policy.tier for policy in found.policies])


def _filtered_relations(query: Any) -> set[str]:
    """The names the user gave to joins; before 6.0 Django does not quote them."""
    return {name.lower() for name in query._filtered_relations}


def narrow(
    query: Any, policy: ResolvedPolicy, connection: BaseDatabaseWrapper, database: str
) -> Narrowed | None:
    """What the best condition that every row of the result must match narrows it to."""
    for narrowing, lookup in narrowing_lookups(query, policy, connection):
        with contextlib.suppress(*NO_VALUE):
            field = tag_field(narrowing, policy)
            return Narrowed(
                field,
                tuple(
                    tag.field_tag(policy.label, database, field, spelled)
                    for spelled in spellings(narrowing, values_of(lookup), connection)
                ),
            )
    return None
