"""Rows that were just written, read again and stored: a reader's fill, before any reader comes.

The rule is a reader's too: stamps are minted first, and nobody gets any where a writer is
registered; then the database is read; what is stored carries those stamps. The values that the
writer knows only say which stamps to mint.

The interleaving that must not happen: A reads its row again, B commits another value and bumps,
A stores. A's entry then carries stamps that stand nowhere any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connections

from cachepatterns.backends.base import Item
from cachepatterns.backends.store import current_store
from cachepatterns.core import tag
from cachepatterns.core.codec import Row
from cachepatterns.exceptions import UnstorableValue
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.eligibility import why_not_kept_here
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.rowplans import RowPlan, row_plan
from cachepatterns.read.standing import STAMP_MARGIN, WRITER, mint_missing
from cachepatterns.read.storing import make_entry, unstored_reason


class Refreshed(NamedTuple):
    """How many of the rows were stored, and why not all of them."""

    rows: int
    reason: str = ""


def refresh(policy: ResolvedPolicy, rows: Sequence[Mapping[str, Any]], using: str) -> Refreshed:
    """Read the rows again by primary key, one query, and store each under every field by which
    rows are cached. `rows` give the narrowed values they have been written with.

    Raises `BackendError` and Django's `DatabaseError`.
    """
    connection = connections[using]
    reason = why_not_kept_here(connection, using, policy)
    plans = _plans(policy, using)
    if reason or not plans:
        return Refreshed(0, reason or "no row cache")
    wanted = [_spelled(plan, rows) for plan in plans]
    stamps = [plans[0].model_stamp]
    for plan, spelled in zip(plans, wanted, strict=True):
        stamps += plan.keys(spelled)[1]
    store = current_store()
    if store.undelivered:
        return Refreshed(0, "bumps owed")
    reach, nothing = plans[0].asked.reach, [None] * len(stamps)
    minted = mint_missing(store, plans[0].guards, stamps, nothing, reach)
    if minted is None:
        return Refreshed(0, WRITER)
    held = dict(zip(stamps, minted, strict=True))
    reason = why_not_keep(connection)
    if reason:
        return Refreshed(0, reason)
    found = plans[0].load(list(wanted[0].values()))
    items: list[Item] = []
    for plan, spelled in zip(plans, wanted, strict=True):
        made, reason = _entries(plan, spelled, found, held)
        items += made
        if reason:
            return Refreshed(0, reason)
    if items:
        store.store(items, stamps, reach + STAMP_MARGIN)
    return Refreshed(len(found))


def _plans(policy: ResolvedPolicy, using: str) -> list[RowPlan]:
    """How rows are cached: by primary key first, then by each unique field."""
    names = ["pk", *(n.attname for n in policy.narrowing if n.unique and n is not policy.pk)]
    found = [row_plan(policy, policy.model, name, using) for name in names]
    return [] if found[0] is None else [plan for plan in found if plan is not None]


def _spelled(plan: RowPlan, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values that the rows hold in the plan's field, by their spellings."""
    found = {}
    for row in rows:
        value = row[plan.narrowing.attname]
        try:
            if value is not None:
                stored, spelled = plan.spell(value)
                found[spelled] = stored
        except NO_VALUE:
            continue
    return found


def _entries(
    plan: RowPlan, wanted: Mapping[str, Any], found: Sequence[Row], held: Mapping[str, bytes]
) -> tuple[list[Item], str]:
    """The entries of the rows that hold a value for which there are stamps; and why not."""
    items: list[Item] = []
    for row in found:
        value = row[plan.index]
        spelled = "" if value is None else tag.canonical(plan.narrowing.kind, value)
        if spelled not in wanted:
            continue  # another has changed it since: his is to be stored by him
        question = plan.question(spelled)
        ttl = question.lifetime([row])
        try:
            payload = make_entry(question, [row], [held[key] for key in question.stamps], ttl, 0.0)
        except UnstorableValue as error:
            return [], unstored_reason(error)
        items.append((question.key, payload, question.kept(ttl, [row])))
    return items, ""
