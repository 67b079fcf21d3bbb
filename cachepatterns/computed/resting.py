"""What a computed value rests on: the tags of what its author names, spelled as writers bump them.

Named may be models or their labels (any of their rows), instances (their row), querysets (what
their SQL reads, as narrowly as if they were cached themselves), tags, and functions of the
arguments that give any of these. Instances among the arguments count as named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import QuerySet

from cachepatterns.core import tag as tags
from cachepatterns.core.sqltext import read_text
from cachepatterns.core.tag import standing_tags
from cachepatterns.declarations import tag_or_model
from cachepatterns.exceptions import ConfigurationError
from cachepatterns.narrowing import as_stored, tag_field
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.dependencies import dependencies, tables_read
from cachepatterns.read.plans import plain
from cachepatterns.registry import concrete_model, site, table_name
from cachepatterns.replicas import primary_alias
from cachepatterns.transactions import database_id, source_id

Given = type[models.Model] | models.Model | QuerySet[Any] | str
"""What may be named."""


@dataclass(slots=True)
class Resting:
    """Tags, and whose policies decide over what rests on them."""

    tags: dict[str, None] = field(default_factory=dict)
    policies: dict[str, ResolvedPolicy] = field(default_factory=dict)
    databases: dict[str, None] = field(default_factory=dict)
    """The aliases, of primaries."""
    reason: str = ""
    """Why nothing may be kept; empty if it may be."""

    def copy(self) -> Resting:
        return Resting({**self.tags}, {**self.policies}, {**self.databases}, self.reason)

    def name(self, given: Any) -> None:
        """Rest on `given`. Raises `TypeError` for what can not be named, `ValueError` for a text
        that names nothing, `ConfigurationError` for a model whose writes nobody watches."""
        if isinstance(given, str):
            given = tag_or_model(given)
        if isinstance(given, str):
            self._add(standing_tags(given))
        elif isinstance(given, QuerySet):
            self._queryset(given)
        elif isinstance(given, models.Model):
            self._row(given, is_named=True)
        elif isinstance(given, type) and issubclass(given, models.Model):
            self._model(given)
        else:
            raise TypeError(
                f"tags= takes models, instances, querysets, tags and functions, not {given!r}."
            )

    def argument(self, value: Any, *, is_needed: bool) -> None:
        """Rest on the row that was given as an argument, or on each of several.

        Where nobody watches the row's writes, that is an error if it `is_needed`: if nothing was
        said of what else counts.
        """
        if isinstance(value, models.Model):
            if is_needed or table_name(concrete_model(type(value))) in site.tracked():
                self._row(value, is_named=False)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                self.argument(item, is_needed=is_needed)
        elif isinstance(value, dict):
            for item in value.values():
                self.argument(item, is_needed=is_needed)

    def all(self, given: Iterable[Any]) -> None:
        for each in given:
            self.name(each)

    @property
    def sources(self) -> list[str]:
        """What tells databases from others of their names."""
        return [source_id(connections[alias]) for alias in self.databases]

    def _add(self, found: Iterable[str]) -> None:
        self.tags |= dict.fromkeys(found)

    def _model(self, model: type[models.Model]) -> None:
        concrete = concrete_model(model)
        for alias in _aliases(concrete):
            self._tables([concrete, *concrete._meta.get_parent_list()], alias)

    def _tables(self, found: Iterable[Any], alias: str) -> None:
        declared = list(found)
        for model in declared:
            _need_watched(model)
        read = tables_read((), declared, site, database_id(connections[alias]))
        # What a policy ignores concerns a queryset that goes by it, and nothing else.
        self._add(name for name in read.tags if not tags.is_ignored_tag(name))
        self._rests(read.policies, alias)
        self.reason = self.reason or read.reason

    def _rests(self, policies: Iterable[ResolvedPolicy], alias: str) -> None:
        self.policies |= {policy.label: policy for policy in policies}
        self.databases[alias] = None

    def _row(self, row: models.Model, *, is_named: bool) -> None:
        alias = primary_alias(row._state.db or "default")
        concrete = concrete_model(type(row))
        for model in (concrete, *concrete._meta.get_parent_list()):
            _need_watched(model)
            policy = site.policy_for(model)
            label, database = model._meta.label_lower, database_id(connections[alias])
            own = tags.any_row_tag(label, database)
            narrowing = policy.pk if policy is not None else None
            if policy is not None and narrowing is not None and not policy.depends_on:
                stored = as_stored(
                    narrowing, getattr(row, model._meta.pk.attname), connections[alias]
                )
                spelled = tags.canonical(narrowing.kind, stored)
                own = tags.field_tag(label, database, tag_field(narrowing, policy), spelled)
                self._add((tags.model_tag(label, database), own))
            else:
                self._tables([model], alias)
            self.databases[alias] = None
            if policy is not None and is_named:
                self.policies[policy.label] = policy
                if not policy.tier.caches:
                    self.reason = self.reason or f"{policy.label} is never cached"

    def _queryset(self, queryset: QuerySet[Any]) -> None:
        alias = queryset.db
        connection = connections[alias]
        query = plain(queryset.query)
        try:
            sql, _params = query.get_compiler(using=alias).as_sql()
        except EmptyResultSet:
            return  # nothing can ever be among it
        found = dependencies(query, read_text(sql), site, connection, database_id(connection))
        if found.reason.endswith("not registered"):
            raise ConfigurationError(f"{found.reason}: nobody watches its writes; register it.")
        if found.reason and not found.reason.endswith("never cached"):
            raise ValueError(
                f"It can not be told what {queryset.model._meta.label} "
                f"rests on here ({found.reason}); name the model instead."
            )
        self._add(found.tags)
        self._rests(found.policies, primary_alias(alias))
        self.reason = self.reason or found.reason


def _aliases(model: type[models.Model]) -> Iterator[str]:
    policy = site.policy_for(model)
    yield from sorted(policy.databases if policy is not None else ("default",))


def _need_watched(model: type[models.Model]) -> None:
    if table_name(model) not in site.tracked():
        raise ConfigurationError(
            f"Nobody watches the writes of {model._meta.label}, so what is computed of it would "
            "grow stale: register it, or pass its primary key and name what counts by tags=."
        )


Named = Given | Callable[..., Any]
"""What `tags=` takes."""
