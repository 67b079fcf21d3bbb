"""The row cache: one entry per row, found by primary key or unique field, compiling no SQL.

``get(pk=…)``, ``get(slug=…)``, foreign key access, ``in_bulk()`` on a manager without filters and
prefetches of foreign keys end here. Many rows take one round trip; those missing take one query.

Longer than most: it is the journey of `read/lookup.py` once more, for many keys at a time, and its
steps (`_Found`: fetch, judge, sift, mint) share what was found so far.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
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
from cachepatterns.read.floods import FLOOD, STAMP_SECONDS, floods
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.lookup import misconfigured, read
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.outage import is_outage
from cachepatterns.read.rowplans import RowPlan, why_no_rows
from cachepatterns.read.softly import DATABASE_FAILED, Spare, judge
from cachepatterns.read.standing import STAMP_MARGIN, WRITER, is_outdated, mint_missing, served
from cachepatterns.read.storing import make_entry, unstored_reason
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
    question = plan.question(spelled)
    again = None if question.soft is None else partial(plan.statement, stored)
    rows = read(question, lambda: plan.load([stored]), again=again)
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
    value = computation()
    if value is not None:
        value.asks((plan.model_stamp, *plan.keys(list(wanted))[1]))
    found = _Found(plan, wanted)
    if sampling.share:
        sampling.tell_some(list(wanted), plan.question)
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
        _count(plan, outcome.ERROR, now - started, len(wanted), now - before)
    else:
        if found.rows and config().SHADOW and random.random() < config().SHADOW:
            found.shadow()
        found.count(time.perf_counter() - started)
        rows = found.rows
        if found.missing:
            rows = rows + _load_missing(store, plan, found, stamps, started)
    attname = plan.narrowing.attname
    made = {getattr(each, attname): each for each in plan.instances(rows, model)}
    if rows is found.rows:
        return made
    # In the order in which they were asked for, as since Django 6.1.
    ordered = {value: made[value] for value in wanted.values() if value in made}
    return ordered if len(ordered) == len(made) else made


def _load_missing(
    store: Store,
    plan: RowPlan,
    found: _Found,
    stamps: dict[str, bytes] | None,
    started: float,
) -> list[Row]:
    """The rows that the cache does not hold, by one query."""
    missing = found.missing
    unfit = found.closed or (WRITER if stamps is None else "")
    try:
        unfit = unfit or why_not_keep(connections[plan.using])
        before = time.perf_counter()
        loaded = told(partial(plan.load, [found.wanted[spelled] for spelled in missing]))
    except Exception as error:
        spare = found.spare_rows(error)
        if spare is None:
            raise
        seconds = time.perf_counter() - started
        _count(plan, outcome.STALE, seconds, len(spare), reason=DATABASE_FAILED)
        return spare
    took = time.perf_counter() - before
    size, reason = 0, unfit
    if stamps is not None and not unfit:
        size, reason = _store(store, plan, found, stamps, loaded, took)
    seconds = time.perf_counter() - started
    _count(plan, outcome.MISS, seconds, len(missing), took, size, reason, found.outdated)
    return loaded


class _Found:
    """What the cache holds of the rows asked for, and what it rests on."""

    def __init__(self, plan: RowPlan, wanted: dict[str, Any]) -> None:
        self._plan = plan
        self.wanted = wanted
        """The values asked for, by their spellings."""
        self._spelled = list(wanted)
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self._standing: dict[str, bytes | None] = {}
        self._payloads: list[bytes | None] = []
        self._negatives = 0
        self._stale: Counter[str] = Counter()
        """How many of the rows are past their time, by reason."""
        self._spares: list[Spare] = []
        self.outdated = 0
        """How many of the missing a write has made worthless."""
        self.closed = ""
        """Why nothing may be served or stored; empty if something may."""

    def fetch(self, store: Store, began: float) -> None:
        """Ask for all in one round trip, that begins after `began`."""
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
        is_soft = plan.asked.soft is not None
        judged = self._judged(store, self._payloads, standing, began) if is_soft else None
        for number, found in enumerate(judged or plain_rows(self._payloads, standing)):
            if found is None and not is_soft:
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
            else:
                self._negatives += 1
        if self.missing:
            self._standing[plan.model_stamp] = model_stamp

    def shadow(self) -> None:
        """Compare one of the hits with the database (`read.shadowing`)."""
        plan, number = self._plan, random.randrange(len(self._payloads))
        spelled, payload = self._spelled[number], self._payloads[number]
        if payload is not None and spelled not in self.missing:
            load = partial(told, partial(plan.load, [self.wanted[spelled]]))
            rows = unpack(payload).decode()
            shadowing.compare(plan.question(spelled), rows, payload, load, None)

    def _judged(
        self,
        store: Store,
        payloads: Sequence[bytes | None],
        standing: Sequence[list[bytes | None]],
        began: float,
    ) -> list[list[Row] | None]:
        """The rows of each entry that may be served, by what the tier says of its age."""
        plan, found = self._plan, list[list[Row] | None]()
        for spelled, payload, stamps in zip(self._spelled, payloads, standing, strict=True):
            if payload is None:
                found.append(None)
                continue
            question, again = plan.question(spelled), partial(plan.statement, self.wanted[spelled])
            rows, stale, spare = judge(store, question, payload, stamps, began, again)
            if stale and rows:
                self._stale[stale] += len(rows)
            if spare is not None:
                self._spares.append(Spare(is_outage, spare))
            found.append(rows)
        return found

    def count(self, seconds: float) -> None:
        """Tell how those that are not missing were found."""
        fresh = len(self.rows) - self._stale.total()
        if fresh:
            _count(self._plan, outcome.HIT, seconds, fresh)
        for reason, rows in self._stale.items():
            _count(self._plan, outcome.STALE, seconds, rows, reason=reason)
        if self._negatives:
            _count(self._plan, outcome.NEGATIVE, seconds, self._negatives)

    def spare_rows(self, error: Exception) -> list[Row] | None:
        """What to serve of the missing although their load has failed; `None` unless there is
        something of each."""
        if len(self._spares) < len(self.missing):
            return None
        found = list[Row]()
        for spare in self._spares:
            rows = spare.rows(self._plan.asked, error)
            if rows is None:
                return None
            found += rows
        return found

    def sift(self, started: float) -> None:
        """In a flood, ask the database first which of the missing are there at all."""
        plan = self._plan
        if not self.missing or self.closed or not floods.is_on(plan.policy.label):
            return
        before = time.perf_counter()
        rows = told(partial(plan.load, [self.wanted[spelled] for spelled in self.missing]))
        took = time.perf_counter() - before
        there = {tag.canonical(plan.narrowing.kind, row[plan.index]) for row in rows}
        gone = [spelled for spelled in self.missing if spelled not in there]
        if gone:
            self.missing = [spelled for spelled in self.missing if spelled in there]
            for stamp in plan.keys(gone)[1]:
                del self._standing[stamp]
            seconds = time.perf_counter() - started
            _count(plan, outcome.MISS, seconds, len(gone), took, reason=FLOOD)

    def minted(self, spelled: str) -> bool:
        """Whether there was no stamp yet for the row."""
        return self._standing[self._plan.keys([spelled])[1][0]] is None

    def mint(self, store: Store) -> dict[str, bytes] | None:
        """The stamps for what is missing; `None` where a writer forbids storing it."""
        if self.closed:
            return None
        if not self.missing:
            return {}
        plan, held = self._plan, self._standing
        reach = plan.asked.reach
        minted = mint_missing(store, plan.guards, list(held), list(held.values()), reach)
        return None if minted is None else dict(zip(held, minted, strict=True))


def _store(
    store: Store,
    plan: RowPlan,
    found: _Found,
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
            payload = make_entry(result, held, ttl, load_seconds)
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
