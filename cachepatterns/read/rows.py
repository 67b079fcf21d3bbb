"""The row cache: one entry per row, found by primary key without compiling any SQL.

``get(pk=…)``, foreign key access and ``in_bulk()`` on a manager without filters end
here. Many rows take one round trip; those missing take one query.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.models import sql
from django.db.models.sql.constants import MULTI
from django.utils.asyncio import async_unsafe
from django.utils.inspect import func_accepts_kwargs, func_supports_parameter

from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome, tag
from cachepatterns.core.codec import Row
from cachepatterns.core.key import row_key
from cachepatterns.exceptions import BackendError, ConfigurationError, UnstorableValue
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.dependencies import as_stored, finds_equals_only
from cachepatterns.read.eligibility import why_not_here
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
from cachepatterns.read.pattern import ROW_PATTERN
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import database_id, source_id

_PLANS = "_cachepatterns_row_plans"
"""The attribute of a connection that holds its plans: they know it, and must go with it."""


class RowPlan:
    """How raw rows of a model become instances on one connection: compiled once."""

    def __init__(self, model: type[models.Model], using: str) -> None:
        self.model, self.using = model, using
        self.compiler = self._compile(sql.Query(model))
        self.attnames = [column[0].target.attname for column in self.compiler.select]
        self.pk_index = self.attnames.index(model._meta.pk.attname)

    def _compile(self, query: Any) -> Any:
        compiler = query.get_compiler(using=self.using)
        compiler.as_sql()
        return compiler

    def load(self, values: Sequence[Any]) -> list[Row]:
        """The raw rows whose primary key is one of `values`; one query."""
        query = sql.Query(self.model)
        query.add_q(models.Q(pk__in=values) if len(values) != 1 else models.Q(pk=values[0]))
        query.clear_ordering(force=True)
        found = query.get_compiler(using=self.using).execute_sql(MULTI)
        return list(chain.from_iterable(found))

    def instances(self, rows: Iterable[Row], model: type[models.Model]) -> list[models.Model]:
        """Fresh instances, through the fields' converters and the model's `from_db`."""
        converted = self.compiler.results_iter([list(rows)])
        from_db = _from_db(model)
        return [from_db(self.using, self.attnames, list(row)) for row in converted]


_FETCH_ONE = getattr(models, "FETCH_ONE", None)
"""The default of Django's fetch modes, which there are since 6.1."""


def _from_db(model: type[models.Model]) -> Callable[..., models.Model]:
    """`Model.from_db` as Django calls it: since 6.1 with the fetch mode."""
    return partial(model.from_db, fetch_mode=_FETCH_ONE) if _FETCH_ONE else model.from_db


def _has_outdated_from_db(model: type[models.Model]) -> bool:
    """Whether its `from_db` takes no fetch mode, of which Django is to warn."""
    if _FETCH_ONE is None:
        return False
    from_db = model.from_db
    return not (func_supports_parameter(from_db, "fetch_mode") or func_accepts_kwargs(from_db))


def why_no_rows(model: type[models.Model], using: str) -> tuple[ResolvedPolicy | None, str]:
    """The model's policy, and why its rows are not cached one by one (empty if they are)."""
    policy = site.policy_for(model)
    if policy is None:
        return None, "not registered"
    owner = site.tables().get(table_name(policy.model))
    # Of several models on one table, writers name one (see `write.changes.tells_its_table`).
    plain = _is_plain(policy.model) and not policy.depends_on
    if policy.pk is None or owner is not policy.model or not plain:
        return policy, "no row cache"
    if not finds_equals_only(policy.pk, connections[using]) or _has_outdated_from_db(model):
        return policy, "no row cache"
    return policy, why_not_here(connections[using], using, policy)


@lru_cache(maxsize=1024)
def _is_plain(model: type[models.Model]) -> bool:
    """One table, and stock loading: rows of anything else go by their query."""
    meta = model._meta
    return not meta.parents and not getattr(meta, "is_composite_pk", False) and meta.managed


def get_row(
    model: type[models.Model], value: Any, using: str, policy: ResolvedPolicy
) -> models.Model | None:
    """The instance with primary key `value`, or `None` if no such row exists.

    Raises `ValueError` or `TypeError` for a value that is no primary key of the model.
    """
    plan, (stored, spelled) = _plan(policy.model, using), _spell(policy, value, using)
    question = _question(policy, spelled, using)
    rows = read(question, lambda: plan.load([stored]))
    found = plan.instances(rows, model)
    return found[0] if found else None


@async_unsafe
def get_rows(
    model: type[models.Model], values: Iterable[Any], using: str, policy: ResolvedPolicy
) -> dict[Any, models.Model]:
    """Instances by primary key for those of `values` that exist: one round trip to the
    cache, and one query for all that it does not hold."""
    started = time.perf_counter()
    plan = _plan(policy.model, using)
    wanted = dict(_reversed(_spell(policy, value, using)) for value in values)
    questions = [_question(policy, spelled, using) for spelled in wanted]
    rows: list[Row] = []
    try:
        store = current_store()
        missing, standing, closed = _fetch(store, questions, rows)
        stamps = None if standing is None else _mint(store, missing, standing)
    except (BackendError, ConfigurationError) as error:
        if isinstance(error, ConfigurationError):
            misconfigured.log("cachepatterns can not read: %s", error)
        before = time.perf_counter()
        rows = plan.load(list(wanted.values()))
        now = time.perf_counter()
        _count(policy, outcome.ERROR, now - started, len(questions), now - before)
    else:
        hits, answered = len(rows), len(questions) - len(missing)
        seconds = time.perf_counter() - started
        if hits:
            _count(policy, outcome.HIT, seconds, hits)
        if answered > hits:
            _count(policy, outcome.NEGATIVE, seconds, answered - hits)
        if missing:
            asked = [wanted[q.key.rsplit(":", 1)[1]] for q in missing]
            unfit = why_not_keep(connections[using]) if stamps is not None else closed or WRITER
            before = time.perf_counter()
            found = plan.load(asked)
            took = time.perf_counter() - before
            rows += found
            size, reason = 0, unfit
            if stamps is not None and not unfit:
                size, reason = _store(store, plan, policy, missing, stamps, found)
            seconds = time.perf_counter() - started
            _count(policy, outcome.MISS, seconds, len(missing), took, size, reason)
    pk = policy.model._meta.pk.attname
    return {getattr(obj, pk): obj for obj in plan.instances(rows, model)}


def _fetch(
    store: Store, questions: Sequence[Question], rows: list[Row]
) -> tuple[Sequence[Question], list[list[bytes | None]] | None, str]:
    """Adds the rows that are cached to `rows`; returns the other questions and the stamps
    that stand under their tags, or `None` and why nothing may be stored."""
    keys: dict[str, int] = {}
    for question in questions:
        for key in (question.key, *question.stamp_keys()):
            keys.setdefault(key, len(keys))
    guards = questions[0].guard_keys()
    answer = store.read(guards, list(keys), lease_keys(questions[0].tags))
    if not all(answer.is_open):
        store.tend(guards)
        return questions, None, WRITER
    if not answer.leased:
        return questions, None, NO_LEASE
    values = answer.values
    missing, standing = [], []
    deciding = decides_a_write()
    for question in questions:
        stamps = [values[keys[key]] for key in question.stamp_keys()]
        found = served(values[keys[question.key]], stamps)
        if found is None or (deciding and not found):
            missing.append(question)
            standing.append(stamps)
        else:
            rows += found
    return missing, standing, ""


def _mint(
    store: Store, missing: Sequence[Question], standing: Sequence[list[bytes | None]]
) -> dict[str, bytes] | None:
    held: dict[str, bytes | None] = {}
    ttl = 0.0
    for question, stamps in zip(missing, standing, strict=True):
        held.update(zip(question.stamp_keys(), stamps, strict=True))
        ttl = question.ttl
    if not held:
        return {}
    minted = mint_missing(store, missing[0].guard_keys(), list(held), list(held.values()), ttl)
    return None if minted is None else dict(zip(held, minted, strict=True))


def _store(
    store: Store,
    plan: RowPlan,
    policy: ResolvedPolicy,
    missing: Sequence[Question],
    stamps: dict[str, bytes],
    rows: Sequence[Row],
) -> tuple[int, str]:
    """Stores what was loaded; returns the bytes, and why something was not stored."""
    by_key = {q.key.rsplit(":", 1)[1]: q for q in missing}
    items, kept, reason = [], set(), ""
    assert policy.pk is not None
    found = {tag.canonical(policy.pk.kind, row[plan.pk_index]): row for row in rows}
    for spelled, question in by_key.items():
        keys = question.stamp_keys()
        held = [stamps[key] for key in keys]
        result = [found[spelled]] if spelled in found else []
        ttl = question.lifetime(result)
        try:
            items.append((question.key, make_entry(result, held, ttl, 0.0), ttl))
        except UnstorableValue as error:
            reason = unstored_reason(error)
            continue
        kept.update(keys)
    try:
        store.store(items, list(kept), missing[0].ttl + STAMP_MARGIN)
    except BackendError:
        return 0, "store failed"
    return sum(len(payload) for _, payload, _ in items), reason


def _question(policy: ResolvedPolicy, spelled: str, using: str) -> Question:
    connection = connections[using]
    database, source = database_id(connection), source_id(connection)
    assert policy.tier.ttl is not None
    return Question(
        key=row_key(config().PREFIX, policy.label, policy.fingerprint, source, spelled),
        tags=(
            tag.model_tag(policy.label, database),
            tag.row_tag(policy.label, database, spelled),
        ),
        using=using,
        ttl=policy.tier.ttl,
        negative_ttl=policy.tier.negative_ttl,
        jitter=policy.tier.jitter,
        label=policy.label,
        pattern=ROW_PATTERN,
    )


def _plan(model: type[models.Model], using: str) -> RowPlan:
    connection = connections[using]
    plans: dict[type, RowPlan] = connection.__dict__.setdefault(_PLANS, {})
    plan = plans.get(model)
    if plan is None:
        plan = plans[model] = RowPlan(model, using)
    return plan


def _spell(policy: ResolvedPolicy, value: Any, using: str) -> tuple[Any, str]:
    """A primary key's prepared value and its spelling in keys and tags."""
    pk = policy.pk
    assert pk is not None
    if hasattr(value, "resolve_expression"):
        raise TypeError(f"{value!r} is no value, but an expression")
    prepared = pk.field.get_prep_value(value)
    return prepared, tag.canonical(pk.kind, as_stored(pk, prepared, connections[using]))


def _reversed(pair: tuple[Any, str]) -> tuple[str, Any]:
    return pair[1], pair[0]


def _count(
    policy: ResolvedPolicy,
    how: str,
    seconds: float,
    count: int,
    load_seconds: float = 0.0,
    stored_bytes: int = 0,
    reason: str = "",
) -> None:
    emit(
        ReadEvent(
            policy.label, ROW_PATTERN, how, seconds, load_seconds, stored_bytes, reason, count
        )
    )
