"""Inspecting one entry: what stands under its key, on what it rests, why it is valid or dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import ASKED, QUERY, ROW, asked_key
from cachepatterns.declarations import find_model
from cachepatterns.exceptions import CachePatternsError, CorruptEntry
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.again import alias_of, parts, recorded, row_of
from cachepatterns.read.asking import signed_question
from cachepatterns.read.dependencies import NO_VALUE
from cachepatterns.read.lease import lease_keys
from cachepatterns.read.looking import Seen, look
from cachepatterns.read.question import guard_keys
from cachepatterns.read.rowplans import RowPlan
from cachepatterns.registry import site
from cachepatterns.stats.hot import remembered
from cachepatterns.transactions import database_id


class NotFound(CachePatternsError):
    """Nothing of that name can be in the cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """An entry, or the place of one. ``name`` is what people call it."""

    name: str
    label: str
    schema: str
    is_current: bool
    """Whether the model's policy still reads entries of this schema."""
    using: str
    sql: str
    """The statement that it answers, where one was kept."""
    seen: Seen
    columns: tuple[str, ...] = ()
    """What the columns are called, where that is known: those of rows."""

    @property
    def why_not(self) -> tuple[str, ...]:
        """Why it would not be served now; empty if it would."""
        outdated = (
            () if self.is_current else ("schema: the model or its policy is another by now",)
        )
        return (*outdated, *self.seen.why_not)

    @property
    def is_valid(self) -> bool | None:
        """Whether it would be served now; `None` where its tags are not known."""
        if self.why_not:
            return False
        return True if self.seen.knows_tags else None

    def values(self) -> list[dict[str, Any] | list[Any]]:
        """The decoded rows, by column where the columns are known. Raises `CorruptEntry`."""
        rows = self.seen.rows()
        if self.columns:
            return [dict(zip(self.columns, row, strict=False)) for row in rows]
        return [list(row) for row in rows]

    def as_dict(self, *, values: bool = False) -> dict[str, Any]:
        """Plain data, for JSON; the rows only with `values`, as texts."""
        found = {
            "name": self.name,
            "model": self.label,
            "schema": self.schema,
            "current_schema": self.is_current,
            "database": self.using,
            "sql": self.sql,
            **self.seen.as_dict(),
            "valid": self.is_valid,
            "why_not": list(self.why_not),
            "knows_tags": self.seen.knows_tags,
        }
        del found["would_hit"]
        return {**found, "values": self.values()} if values else found


def inspect_named(name: str) -> list[Inspected]:
    """What is cached under ``app.Model:pk`` (in each database of its policy), or a Redis key.

    Raises `NotFound` for a name that is neither, `BackendError` and `ConfigurationError`.
    """
    if name.startswith(f"{config().PREFIX}:"):
        return [inspect_key(name)]
    label, colon, pk = name.partition(":")
    model = find_model(label) if colon and "." in label else None
    policy = site.policy_for(model) if model is not None else None
    if model is None:
        raise NotFound(
            f"{name!r} is neither app.Model:pk nor a key that begins with {config().PREFIX}:"
        )
    if policy is None:
        raise NotFound(f"{model._meta.label} is not registered; nothing of it is cached.")
    if policy.pk is None or not policy.tier.caches:
        raise NotFound(f"Rows of {model._meta.label} are not cached; explain_cache() says why.")
    found = []
    for alias in sorted(policy.databases):
        plan = RowPlan(policy, policy.pk, alias)
        try:
            _value, spelled = plan.spell(model._meta.pk.to_python(pk))
        except Exception as error:  # Django's ValidationError, or what a field of one's own raises
            raise NotFound(f"{pk!r} is no primary key of {model._meta.label}.") from error
        found.append(_row(plan, spelled))
    return found


def inspect_key(key: str) -> Inspected:
    """What stands under a Redis key of ours. Raises as `inspect_named`."""
    try:
        told = parts(key, config().PREFIX)
    except ValueError:
        raise NotFound(
            f"{key!r} is no entry: those of rows and queries have more parts."
        ) from None
    if told.kind == ASKED:
        raise NotFound(f"{key!r} holds a question; its answer's key has :{QUERY}: instead.")
    model = find_model(told.label)
    policy = site.policy_for(model) if model is not None else None
    using = alias_of(told.source, policy) if policy is not None else ""
    if told.kind == ROW and policy is not None and using:
        try:
            row = row_of(told.last, policy, using)
        except NO_VALUE:
            row = None
        if row is not None and row[0].question(row[2]).key == key:
            return _row(row[0], row[2])
    stamps, guards, sql = _kept(key)
    if guards is None and policy is not None and using:
        guards = guard_keys([f"{policy.label}@{database_id(connections[using])}"])
    names = [guard.rpartition(":")[2] for guard in guards or ()]
    return Inspected(
        name=f"{told.label} {told.kind}",
        label=told.label,
        schema=told.schema,
        is_current=policy is not None and policy.fingerprint == told.schema,
        using=using,
        sql=sql,
        seen=look(key, stamps, guards or (), lease_keys(names)),
    )


def _row(plan: RowPlan, spelled: str) -> Inspected:
    question = plan.question(spelled)
    policy: ResolvedPolicy = plan.policy
    narrowing = plan.narrowing
    told = spelled if narrowing.field.primary_key else f"{narrowing.name}={spelled}"
    return Inspected(
        name=f"{policy.model._meta.label}:{told}",
        label=policy.label,
        schema=policy.fingerprint,
        is_current=True,
        using=plan.using,
        sql="",
        seen=look(question.key, question.stamps, question.guards, question.leases, question.soft),
        columns=tuple(str(field.column) for field in policy.model._meta.concrete_fields),
    )


def _kept(key: str) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, str]:
    """The keys of the stamps and guards that a query's entry rests on, and its statement: kept
    beside a share of the entries (``VERIFY_SHARE``), and of those that are read most."""
    (beside,) = current_store().backend.get_many([asked_key(key)])
    (hot,) = remembered([key])
    try:
        if beside is not None:
            question = signed_question(asked_key(key), beside)
            return tuple(question.stamps), tuple(question.guards), question.sql
        if hot is not None:
            asked, known = recorded(key, hot)
            return asked.stamps, asked.guards, known.sql
    except CorruptEntry:
        pass  # another release's
    return None, None, ""
