"""The row cache: one entry per row, found by primary key or unique field, compiling no SQL.

``get(pk=…)``, ``get(slug=…)``, foreign key access and ``in_bulk()`` on a manager without filters
end here. Many rows take one round trip; those missing take one query.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.models import sql
from django.db.models.sql.constants import MULTI
from django.utils.asyncio import async_unsafe

from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome, tag
from cachepatterns.core.codec import Row
from cachepatterns.core.key import guard_key, row_key, tag_key
from cachepatterns.exceptions import BackendError, ConfigurationError, UnstorableValue
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.policy import Narrowing, ResolvedPolicy
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.dependencies import as_stored, finds_equals_only, tag_field
from cachepatterns.read.eligibility import why_not_here
from cachepatterns.read.instances import Instances, has_outdated_from_db
from cachepatterns.read.lease import NO_LEASE, lease_keys
from cachepatterns.read.lookup import (
    STAMP_MARGIN,
    WRITER,
    Question,
    make_entry,
    mint_missing,
    misconfigured,
    read,
    served,
    unstored_reason,
)
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.pattern import row_pattern
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import database_id, source_id

_PLANS = "_cachepatterns_row_plans"
"""The attribute of a connection that holds its plans: they know it, and must go with it."""


class RowPlan:
    """How the rows of a model are asked for by one field on one connection, and decoded.

    Made once for the settings and the registry in force (`made_under`).
    """

    def __init__(self, policy: ResolvedPolicy, narrowing: Narrowing, using: str) -> None:
        connection = connections[using]
        self.made_under = _now()
        self.policy, self.narrowing, self.using = policy, narrowing, using
        self._connection = connection
        self._model = policy.model
        query: Any = sql.Query(policy.model)
        compiler = query.get_compiler(using=using)
        compiler.as_sql()
        self._instances: dict[type[models.Model], Instances] = {}
        attnames = [column[0].target.attname for column in compiler.select]
        self.index = attnames.index(narrowing.attname)
        prefix, label, database = config().PREFIX, policy.label, database_id(connection)
        field = tag_field(narrowing, policy)
        part = "" if field == "pk" else f"{field}="
        self._key = row_key(prefix, label, policy.fingerprint, source_id(connection), part)
        self._tag = tag_key(prefix, tag.field_tag(label, database, field, ""))
        model_tag = tag.model_tag(label, database)
        self.model_stamp = tag_key(prefix, model_tag)
        self.guards = (guard_key(prefix, model_tag),)
        self.leases = lease_keys([model_tag])
        self.pattern = row_pattern(field)

    def spell(self, value: Any) -> tuple[Any, str]:
        """A value as it is asked for, and its spelling in keys and tags.

        Raises `ValueError` or `TypeError` for what is no value of the field.
        """
        kind = self.narrowing.kind
        if kind == "integer" and type(value) is int:
            return value, str(value)
        if hasattr(value, "resolve_expression"):
            raise TypeError(f"{value!r} is no value, but an expression")
        prepared = self.narrowing.field.get_prep_value(value)
        return prepared, tag.canonical(kind, as_stored(self.narrowing, prepared, self._connection))

    def keys(self, spelled: str) -> tuple[str, str]:
        """Where the row stands, and the stamp of its own that it rests on."""
        return self._key + spelled, self._tag + spelled

    def question(self, spelled: str) -> Question:
        key, stamp = self.keys(spelled)
        tier = self.policy.tier
        assert tier.ttl is not None
        return Question(
            key=key,
            stamps=(self.model_stamp, stamp),
            guards=self.guards,
            leases=self.leases,
            using=self.using,
            ttl=tier.ttl,
            negative_ttl=tier.negative_ttl,
            jitter=tier.jitter,
            label=self.policy.label,
            pattern=self.pattern,
        )

    def load(self, values: Sequence[Any]) -> list[Row]:
        """The raw rows that hold one of `values`; one query."""
        query: Any = sql.Query(self._model)
        name = self.narrowing.field.attname
        one = {name: values[0]} if len(values) == 1 else {f"{name}__in": values}
        query.add_q(models.Q(**one))
        query.clear_ordering(force=True)
        found = query.get_compiler(using=self.using).execute_sql(MULTI)
        return list(chain.from_iterable(found))

    def instances(self, rows: Iterable[Row], model: type[models.Model]) -> list[Any]:
        """Fresh instances of `model`, the plan's or a proxy of it."""
        made = self._instances.get(model)
        if made is None:
            compiler: Any = sql.Query(model).get_compiler(using=self.using)
            compiler.as_sql()
            made = self._instances[model] = Instances(compiler, self.using)
        return made(rows)


def _now() -> tuple[Any, ...]:
    return config(), site.generation


def plan_for(policy: ResolvedPolicy, narrowing: Narrowing, using: str) -> RowPlan:
    """The plan of the connection in force."""
    plans: dict[Any, RowPlan] = connections[using].__dict__.setdefault(_PLANS, {})
    plan = plans.get((policy.label, narrowing.attname))
    if plan is None or plan.policy is not policy or plan.made_under != _now():
        plan = plans[policy.label, narrowing.attname] = RowPlan(policy, narrowing, using)
    return plan


def why_no_rows(model: type[models.Model], name: str, using: str) -> tuple[RowPlan | None, str]:
    """The plan for asking by the field `name`, and why none may be used now (empty if it may)."""
    policy = site.policy_for(model)
    if policy is None:
        return None, "not registered"
    narrowing = _narrowing(policy, name)
    # Of several models on one table, writers name one (see `write.changes.tells_its_table`).
    owner = site.tables().get(table_name(policy.model))
    plain = _is_plain(policy.model) and not policy.depends_on
    if narrowing is None or owner is not policy.model or not plain:
        return None, "no row cache"
    connection = connections[using]
    if not finds_equals_only(narrowing, connection) or has_outdated_from_db(model):
        return None, "no row cache"
    reason = why_not_here(connection, using, policy)
    return (None, reason) if reason else (plan_for(policy, narrowing, using), "")


def _narrowing(policy: ResolvedPolicy, name: str) -> Narrowing | None:
    """The unique field that `name` is a lookup of, if rows are narrowed by it."""
    name = name.removesuffix("__exact")
    if name == "pk":
        return policy.pk
    return policy.unique.get(name)


@lru_cache(maxsize=1024)
def _is_plain(model: type[models.Model]) -> bool:
    """One table, and stock loading: rows of anything else go by their query."""
    meta = model._meta
    return not meta.parents and not getattr(meta, "is_composite_pk", False) and meta.managed


def get_row(plan: RowPlan, model: type[models.Model], value: Any) -> models.Model | None:
    """The instance with that value in the plan's field, or `None` if no such row exists.

    Raises `ValueError` or `TypeError` for what is no value of the field.
    """
    stored, spelled = plan.spell(value)
    rows = read(plan.question(spelled), lambda: plan.load([stored]))
    return plan.instances(rows, model)[0] if rows else None


@async_unsafe
def get_rows(plan: RowPlan, model: type[models.Model], values: Iterable[Any]) -> dict[Any, Any]:
    """Instances by the plan's field for those of `values` that exist: one round trip to the
    cache, and one query for all that it does not hold."""
    started = time.perf_counter()
    wanted = {spelled: stored for stored, spelled in map(plan.spell, values)}
    found = _Found(plan, list(wanted))
    try:
        store = current_store()
        found.fetch(store)
        stamps = found.mint(store)
    except (BackendError, ConfigurationError) as error:
        if isinstance(error, ConfigurationError):
            misconfigured.log("cachepatterns can not read: %s", error)
        before = time.perf_counter()
        rows = plan.load(list(wanted.values()))
        now = time.perf_counter()
        _count(plan, outcome.ERROR, now - started, len(wanted), now - before)
    else:
        rows, missing = found.rows, found.missing
        hits, answered = len(rows), len(wanted) - len(missing)
        seconds = time.perf_counter() - started
        if hits:
            _count(plan, outcome.HIT, seconds, hits)
        if answered > hits:
            _count(plan, outcome.NEGATIVE, seconds, answered - hits)
        if missing:
            unfit = found.closed or (WRITER if stamps is None else "")
            unfit = unfit or why_not_keep(connections[plan.using])
            before = time.perf_counter()
            loaded = plan.load([wanted[spelled] for spelled in missing])
            took = time.perf_counter() - before
            rows = rows + loaded
            size, reason = 0, unfit
            if stamps is not None and not unfit:
                size, reason = _store(store, plan, missing, stamps, loaded)
            seconds = time.perf_counter() - started
            _count(plan, outcome.MISS, seconds, len(missing), took, size, reason)
    attname = plan.narrowing.attname
    return {getattr(made, attname): made for made in plan.instances(rows, model)}


class _Found:
    """What the cache holds of the rows asked for, and what it rests on."""

    def __init__(self, plan: RowPlan, spelled: list[str]) -> None:
        self._plan = plan
        self._spelled = spelled
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self._standing: dict[str, bytes | None] = {}
        self.closed = ""
        """Why nothing may be served or stored; empty if something may."""

    def fetch(self, store: Store) -> None:
        """Ask for all in one round trip."""
        plan = self._plan
        pairs = [plan.keys(spelled) for spelled in self._spelled]
        keys = [plan.model_stamp, *(key for key, _ in pairs), *(stamp for _, stamp in pairs)]
        answer = store.read(plan.guards, keys, plan.leases)
        if not all(answer.is_open):
            store.tend(plan.guards)
            self.closed = WRITER
        elif not answer.leased:
            self.closed = NO_LEASE
        if self.closed:
            self.missing = self._spelled
            return
        model_stamp, *values = answer.values
        count, deciding = len(pairs), None
        for spelled, (_, key), payload, stamp in zip(
            self._spelled, pairs, values[:count], values[count:], strict=True
        ):
            found = served(payload, (model_stamp, stamp))
            if found:
                self.rows += found
                continue
            if found is not None:
                deciding = decides_a_write() if deciding is None else deciding
            if found is None or deciding:
                self.missing.append(spelled)
                self._standing[key] = stamp
        if self.missing:
            self._standing[plan.model_stamp] = model_stamp

    def mint(self, store: Store) -> dict[str, bytes] | None:
        """The stamps for what is missing; `None` where a writer forbids storing it."""
        if self.closed:
            return None
        if not self.missing:
            return {}
        plan, held = self._plan, self._standing
        assert plan.policy.tier.ttl is not None
        ttl = plan.policy.tier.ttl
        minted = mint_missing(store, plan.guards, list(held), list(held.values()), ttl)
        return None if minted is None else dict(zip(held, minted, strict=True))


def _store(
    store: Store,
    plan: RowPlan,
    missing: Sequence[str],
    stamps: dict[str, bytes],
    rows: Sequence[Row],
) -> tuple[int, str]:
    """Stores what was loaded; returns the bytes, and why something was not stored."""
    items, reason = [], ""
    kept: set[str] = set()
    kind, ttl = plan.narrowing.kind, 0.0
    found = {tag.canonical(kind, row[plan.index]): row for row in rows}
    for spelled in missing:
        question = plan.question(spelled)
        held = [stamps[key] for key in question.stamps]
        result = [found[spelled]] if spelled in found else []
        ttl = question.ttl
        lasting = question.lifetime(result)
        try:
            items.append((question.key, make_entry(result, held, lasting, 0.0), lasting))
        except UnstorableValue as error:
            reason = unstored_reason(error)
            continue
        kept.update(question.stamps)
    try:
        store.store(items, list(kept), ttl + STAMP_MARGIN)
    except BackendError:
        return 0, "store failed"
    return sum(len(payload) for _, payload, _ in items), reason


def _count(
    plan: RowPlan,
    how: str,
    seconds: float,
    count: int,
    load_seconds: float = 0.0,
    stored_bytes: int = 0,
    reason: str = "",
) -> None:
    label, pattern = plan.policy.label, plan.pattern
    emit(ReadEvent(label, pattern, how, seconds, load_seconds, stored_bytes, reason, count))
