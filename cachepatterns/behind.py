"""What is written behind: the buffers of this site, and what may have one.

A buffer holds the increments of one model, or the events of one, for one database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections, models

from cachepatterns.conf import config
from cachepatterns.core.behind import WriteBehind
from cachepatterns.core.key import buffer_key
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.replicas import primary_alias
from cachepatterns.transactions import aliases_by_database, database_id

COUNTS, EVENTS = "counts", "events"
KEYS = frozenset({"integer", "text", "uuid", "date"})
"""The kinds of primary keys by which rows can be counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """One buffer: of which model, for which database, and how often it is flushed."""

    policy: ResolvedPolicy
    kind: str
    using: str
    key: str
    every: float


def buffers() -> list[Buffer]:
    """All of this site."""
    found: list[Buffer] = []
    for policy in site.policies():
        for kind, said in _said(policy):
            every = min(each.seconds for each in said)
            found += [
                _buffer(policy, kind, aliases[0], every)
                for aliases in aliases_by_database(policy.databases).values()
            ]
    return found


def buffer_of(policy: ResolvedPolicy, kind: str, using: str) -> Buffer:
    """Where what is written to the model through an alias waits. Raises `CachePatternsError` where
    nobody would flush it."""
    said = dict(_said(policy)).get(kind)
    if not said:
        raise CachePatternsError(f"The policy of {policy.label} declares no {kind}.")
    alias = primary_alias(using)
    databases = {database_id(connections[name]) for name in policy.databases}
    if database_id(connections[alias]) not in databases:
        known = ", ".join(sorted(policy.databases))
        raise CachePatternsError(
            f"{policy.label} is written behind in {known}, not in {using!r}: add it to the "
            "policy's databases."
        )
    return _buffer(policy, kind, alias, min(each.seconds for each in said))


def _said(policy: ResolvedPolicy) -> list[tuple[str, list[WriteBehind]]]:
    counters, events = policy.policy.counters, policy.policy.events
    known = [each for each in counters.values() if isinstance(each, WriteBehind)]
    found = [(COUNTS, known)] if known else []
    return [*found, (EVENTS, [events])] if isinstance(events, WriteBehind) else found


def _buffer(policy: ResolvedPolicy, kind: str, using: str, every: float) -> Buffer:
    key = buffer_key(config().PREFIX, policy.label, database_id(connections[using]), kind)
    return Buffer(policy=policy, kind=kind, using=using, key=key, every=every)


# -- what may be written behind ---------------------------------------------------------------


def why_no_counter(policy: ResolvedPolicy, name: str) -> str:
    """Why increments of the field can not be written behind; empty if they can."""
    known: str | None = policy.memo.get(("no counter", name))
    if known is None:
        known = policy.memo["no counter", name] = _why_no_counter(policy, name)
    return known


def _why_no_counter(policy: ResolvedPolicy, name: str) -> str:
    model: Any = policy.model
    fields = {field.name: field for field in model._meta.local_concrete_fields}
    found = fields.get(name)
    if found is None:
        return f"it is no field of {policy.label} itself"
    if not isinstance(found, models.IntegerField):
        return "only whole numbers add up in whatever order: it is no integer field"
    if found.unique or found.primary_key or found.is_relation:
        return "a value that must be unique, or refers to another row, is no counter"
    if name in _constrained(model):
        return "it is part of a constraint of uniqueness"
    if policy.pk is None or policy.pk.kind not in KEYS:
        return "the primary key has no spelling"
    return policy.why_not_ignored(found)


def why_no_events(policy: ResolvedPolicy) -> str:
    """Why rows of the model can not be written behind; empty if they can."""
    meta: Any = policy.model._meta
    if policy.tier.caches:
        return 'it is cached, and rows that come later would invalidate it: use tier = "never"'
    if meta.parents or not meta.managed:
        return "its rows are not of one table of Django's"
    if not isinstance(meta.pk, models.AutoField):
        return "its primary key is not given by the database"
    unique = [field.name for field in meta.local_concrete_fields if field.unique]
    unique = [name for name in unique if name != meta.pk.name] + sorted(_constrained(policy.model))
    if unique:
        return f"{unique[0]!r} must be unique, so one row could keep out another"
    return ""


def _constrained(model: Any) -> set[str]:
    meta = model._meta
    found = {name for names in meta.unique_together for name in names}
    for constraint in meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            # One of expressions may be of any field.
            found.update(constraint.fields or [field.name for field in meta.local_concrete_fields])
    return found
