"""The row cache: one entry per row, found by primary key or unique field, compiling no SQL.

``get(pk=…)``, ``get(slug=…)``, foreign key access, ``in_bulk()`` on a manager without filters and
prefetches of foreign keys end here. Many rows take one round trip; those missing take one query.

Longer than most: it is the journey of `read/lookup.py` once more, for many keys at a time, and its
steps (`Found`: fetch, judge, sift, mint) share what was found so far.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.models import Q

from cachepatterns import around, sampling
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome, tag
from cachepatterns.core.codec import Row
from cachepatterns.exceptions import BackendError, ConfigurationError, UnstorableValue
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.read.floods import FLOOD, STAMP_SECONDS, floods
from cachepatterns.read.found import Found, count_rows
from cachepatterns.read.lookup import misconfigured, read
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.rowplans import RowPlan, why_no_rows
from cachepatterns.read.softly import DATABASE_FAILED
from cachepatterns.read.standing import STAMP_MARGIN, WRITER
from cachepatterns.read.storing import make_entry, unstored_reason
from cachepatterns.read.waiting import must_be_allowed
from cachepatterns.read.within import computation, told

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
    plan, _reason = why_no_rows(model, name.removesuffix("__exact"), using)
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
    question = plan.question(spelled)
    again = None if question.soft is None else partial(plan.statement, stored)
    rows = read(question, lambda: plan.load([stored]), again=again)
    return plan.instances(rows, model)[0] if rows else None


def get_rows(plan: RowPlan, model: type[models.Model], values: Iterable[Any]) -> dict[Any, Any]:
    """Instances by the plan's field for those of `values` that exist: one round trip to the
    cache, and one query for all that it does not hold."""
    must_be_allowed()
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
    value = computation()
    if value is not None:
        value.asks((plan.model_stamp, *plan.keys(list(wanted))[1]))
    found = Found(plan, wanted)
    if sampling.share:
        sampling.tell_some(found.spelled, plan.question)
    try:
        store = current_store()
        found.fetch(store, started)
        found.sift(started)
        stamps = found.mint(store)
    except (BackendError, ConfigurationError) as error:
        if isinstance(error, ConfigurationError):
            misconfigured.log("cachepatterns can not read: %s", error)
        before = time.perf_counter()
        rows = told(partial(plan.load, list(wanted.values())))
        now = time.perf_counter()
        count_rows(plan, outcome.ERROR, now - started, len(wanted), now - before)
    else:
        if found.rows and config().SHADOW and random.random() < config().SHADOW:
            found.shadow()
        rows = found.rows
        if found.missing or found.gone:
            rows = _with_missing(store, plan, found, stamps, started)
        else:
            found.count(time.perf_counter() - started)
    instances = plan.instances(rows, model)
    made = dict(zip(map(plan.value_of, instances), instances, strict=True))
    if rows is found.rows:
        return made
    # In the order in which they were asked for, as since Django 6.1.
    ordered = [made[value] for value in wanted.values() if value in made]
    if len(ordered) != len(made):
        return made
    return dict(zip(map(plan.value_of, ordered), ordered, strict=True))


def _with_missing(
    store: Store,
    plan: RowPlan,
    found: Found,
    stamps: dict[str, bytes] | None,
    started: float,
) -> list[Row]:
    """All rows, as the database had them at one moment: those found, if they still stand after
    the missing were loaded, and all from one statement otherwise."""
    seconds = time.perf_counter() - started
    rows = found.rows
    if found.missing:
        rows = rows + _load_missing(store, plan, found, stamps, started)
    if found.still_stands(store):
        found.count(seconds)
        return rows
    before = time.perf_counter()
    rows = told(partial(plan.load, list(found.wanted.values())))
    now = time.perf_counter()
    count_rows(plan, outcome.MISS, now - started, found.served, now - before, reason=WRITER)
    return rows


def _load_missing(
    store: Store,
    plan: RowPlan,
    found: Found,
    stamps: dict[str, bytes] | None,
    started: float,
) -> list[Row]:
    """The rows that the cache does not hold, by one query."""
    missing = found.missing
    unfit = found.closed or (WRITER if stamps is None else "")
    try:
        unfit = unfit or why_not_keep(connections[plan.using])
        before = time.perf_counter()
        asked = [found.wanted[spelled] for spelled in chain(missing, found.gone)]
        loaded = told(partial(plan.load, asked))
    except Exception as error:
        spare = found.spare_rows(error)
        if spare is None:
            raise
        seconds = time.perf_counter() - started
        count_rows(plan, outcome.STALE, seconds, len(spare), reason=DATABASE_FAILED)
        return spare
    took = time.perf_counter() - before
    size, reason = 0, unfit
    if stamps is not None and not unfit:
        size, reason = _store(store, plan, found, stamps, loaded, took)
    seconds = time.perf_counter() - started
    count_rows(plan, outcome.MISS, seconds, len(missing), took, size, reason, found.outdated)
    return loaded


def _store(
    store: Store,
    plan: RowPlan,
    found: Found,
    stamps: dict[str, bytes],
    rows: Sequence[Row],
    took: float,
) -> tuple[int, str]:
    """Stores what was loaded; returns the bytes, and why something was not stored."""
    items, reason = [], ""
    kept: set[str] = set()
    brief: list[str] = []
    kind, asked = plan.narrowing.kind, plan.asked
    # Of many rows nobody can say what one would have taken; who wants to know may guess too much.
    load_seconds = 0.0 if asked.soft is None else took
    loaded = {tag.canonical(kind, row[plan.index]): row for row in rows}
    for spelled in found.missing:
        question = plan.question(spelled)
        held = [stamps[key] for key in question.stamps]
        result = [loaded[spelled]] if spelled in loaded else []
        if not result and found.minted(spelled):
            brief.append(question.stamps[-1])
        if not result and not floods.admits(plan.policy.label):
            reason = FLOOD
            continue
        ttl = question.lifetime(result)
        try:
            payload = make_entry(question, result, held, ttl, load_seconds)
        except UnstorableValue as error:
            reason = unstored_reason(error)
            continue
        items.append((question.key, payload, question.kept(ttl, result)))
        kept.update(question.stamps)
    try:
        store.store(
            items,
            list(kept.difference(brief)),
            asked.reach + STAMP_MARGIN,
            brief=brief,
            brief_ttl=min(asked.ttl, asked.negative_ttl) + STAMP_SECONDS,
        )
    except BackendError:
        return 0, "store failed"
    return sum(len(payload) for _, payload, _ in items), reason
