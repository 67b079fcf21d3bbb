"""The row cache: one entry per row, found by primary key or unique field, compiling no SQL.

``get(pk=…)``, ``get(slug=…)``, foreign key access, ``in_bulk()`` on a manager without filters and
prefetches of foreign keys end here. Many rows take one round trip; those missing take one query.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import connections, models
from django.db.models import Q
from django.utils.asyncio import async_unsafe

from cachepatterns import around, sampling
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome, tag
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import plain_rows, unpack
from cachepatterns.exceptions import BackendError, ConfigurationError, UnstorableValue
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.read import shadowing
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.lookup import (
    make_entry,
    misconfigured,
    read,
    unstored_reason,
)
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.rowplans import RowPlan, why_no_rows
from cachepatterns.read.standing import STAMP_MARGIN, WRITER, is_outdated, mint_missing, served

_UNSUITED = (models.Model, Q)


def found_row(
    model: Any, using: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> models.Model | None:
    """What ``get(*args, **kwargs)`` of all rows gives; `None` if that is to be asked otherwise.

    Raises the model's `DoesNotExist`.
    """
    asked = _one_condition(args, kwargs)
    if asked is None:
        return None
    name, value = asked
    plan, _reason = why_no_rows(model, name, using)
    if plan is None:
        return None
    try:
        row = get_row(plan, model, value)
    except NO_VALUE:
        return None  # No value of this field: Django raises what it always raises.
    if row is None:
        raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.")
    return row


def _one_condition(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any] | None:
    """The name and the value in ``get(name=value)``, or in the `Q` of a foreign key's access."""
    if kwargs:
        if args or len(kwargs) != 1:
            return None
        ((name, value),) = kwargs.items()
    else:
        if len(args) != 1 or type(args[0]) is not Q:
            return None
        condition = args[0]
        if condition.negated or len(condition.children) != 1:
            return None
        child = condition.children[0]
        if not isinstance(child, tuple):
            return None
        name, value = child
    if value is None or isinstance(value, _UNSUITED) or hasattr(value, "resolve_expression"):
        return None
    return name, value


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
    wanted = plan.spell_all(values)
    if around.hooks:
        operation = around.Operation(
            name="get_many",
            label=plan.policy.label,
            pattern=plan.asked.pattern,
            keys=len(wanted),
            ttl=plan.asked.ttl,
            question=plan.question(next(iter(wanted), "")),
        )
        return around.run(operation, lambda: _get_rows(plan, model, wanted))
    return _get_rows(plan, model, wanted)


def _get_rows(plan: RowPlan, model: type[models.Model], wanted: dict[str, Any]) -> dict[Any, Any]:
    started = time.perf_counter()
    found = _Found(plan, list(wanted))
    if sampling.share:
        sampling.tell_some(list(wanted), plan.question)
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
        if hits and config().SHADOW and random.random() < config().SHADOW:
            found.shadow(wanted)
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
            _count(plan, outcome.MISS, seconds, len(missing), took, size, reason, found.outdated)
    attname = plan.narrowing.attname
    made = {getattr(each, attname): each for each in plan.instances(rows, model)}
    if rows is found.rows:
        return made
    # In the order in which they were asked for, as since Django 6.1.
    ordered = {value: made[value] for value in wanted.values() if value in made}
    return ordered if len(ordered) == len(made) else made


class _Found:
    """What the cache holds of the rows asked for, and what it rests on."""

    def __init__(self, plan: RowPlan, spelled: list[str]) -> None:
        self._plan = plan
        self._spelled = spelled
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self._standing: dict[str, bytes | None] = {}
        self._payloads: list[bytes | None] = []
        self.outdated = 0
        """How many of the missing a write has made worthless."""
        self.closed = ""
        """Why nothing may be served or stored; empty if something may."""

    def fetch(self, store: Store) -> None:
        """Ask for all in one round trip."""
        plan = self._plan
        keys, stamps = plan.keys(self._spelled)
        answer = store.read(plan.guards, [plan.model_stamp, *keys, *stamps], plan.leases)
        if not all(answer.is_open):
            store.tend(plan.guards)
            self.closed = WRITER
        elif not answer.leased:
            self.closed = NO_LEASE
        if self.closed:
            self.missing = self._spelled
            return
        model_stamp, *values = answer.values
        count, deciding, rows = len(keys), None, self.rows
        standing = [[model_stamp, stamp] for stamp in values[count:]]
        self._payloads = values[:count]
        for number, found in enumerate(plain_rows(self._payloads, standing)):
            if found is None:
                found = served(values[number], standing[number])
            if found:
                rows += found
                continue
            if found is not None:
                deciding = decides_a_write() if deciding is None else deciding
            if found is None or deciding:
                self.missing.append(self._spelled[number])
                self.outdated += is_outdated(values[number], standing[number])
                self._standing[stamps[number]] = standing[number][1]
        if self.missing:
            self._standing[plan.model_stamp] = model_stamp

    def shadow(self, wanted: Mapping[str, Any]) -> None:
        """Compare one of the hits with the database (`read.shadowing`)."""
        plan, number = self._plan, random.randrange(len(self._payloads))
        spelled, payload = self._spelled[number], self._payloads[number]
        if payload is not None and spelled not in self.missing:
            load = partial(plan.load, [wanted[spelled]])
            rows = unpack(payload).decode()
            shadowing.compare(plan.question(spelled), rows, payload, load, None)

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
    outdated: int = 0,
) -> None:
    emit(
        ReadEvent(
            plan.policy.label,
            plan.asked.pattern,
            how,
            seconds,
            load_seconds,
            stored_bytes,
            reason,
            count,
            outdated,
        )
    )
