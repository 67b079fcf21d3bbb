"""The second half of a read: the answer is not there, so somebody loads it, and it is stored.

Steps 4 to 6 of the journey on the page before this one (`read/lookup.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from django.db import connections

from cachepatterns import around
from cachepatterns.backends.store import Store
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import unpack
from cachepatterns.exceptions import BackendError, CorruptEntry, UnstorableValue
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.read import claim
from cachepatterns.read.asking import question_item
from cachepatterns.read.flight import Flights
from cachepatterns.read.floods import FLOOD, STAMP_SECONDS, floods
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.question import KnowingLoad, Load, Question
from cachepatterns.read.softly import DATABASE_FAILED, Spare
from cachepatterns.read.standing import STAMP_MARGIN
from cachepatterns.read.storing import make_entry, unstored_reason
from cachepatterns.read.within import who

flights: Flights[bytes] = Flights(who)

os.register_at_fork(after_in_child=flights.forget)


class Missed(NamedTuple):
    """The entry that stood there and could not be served, whether a write was why, and the
    stamps that were missing which concern little else."""

    payload: bytes | None
    is_outdated: bool
    narrow: Sequence[str]


def load_once(
    store: Store,
    question: Question,
    stamps: list[bytes],
    load: Load,
    started: float,
    asker: Any,
    lasting: Sequence[str],
    missed: Missed,
    spare: Spare | None,
) -> list[Row]:
    flight = (question.key, tuple(stamps))
    land = flights.lead(flight)
    if land is None:
        shared = flights.wait(flight, config().FLIGHT_TIMEOUT)
        if shared is not None:
            with suppress(CorruptEntry):
                rows = unpack(shared).decode()
                count_read(question, outcome.SHARED, started)
                return rows
        return from_database(question, load, started, outcome.MISS, "flight failed", spare)
    turn = claim.Turn(stamps)
    payload: bytes | None = None
    how, reason, size, took = outcome.MISS, "load failed", 0, 0.0
    try:
        if claim.is_worth_it(question, missed.payload):
            turn = claim.take_turn(store, question, stamps, missed.payload)
            if turn.rows is not None:
                how, reason, payload = outcome.SHARED, "", turn.payload
                return turn.rows
        unfit = turn.unfit
        if question.using and not unfit:
            unfit = why_not_keep(connections[question.using])
        if unfit:
            # What is not stored is not shared either: nobody needs to wait for it.
            land(None)
            turn.end()
        knowing = load if isinstance(load, KnowingLoad) else None
        if knowing is not None and not unfit:
            knowing.stamps = turn.stamps
        before = time.perf_counter()
        with claim.loading:
            rows = load()
        took = time.perf_counter() - before
        claim.note(question, took)
        if knowing is not None:
            unfit = unfit or knowing.unfit
        reason = unfit
        if unfit:
            return rows
        ttl = question.lifetime(rows)
        brief = () if rows else missed.narrow
        try:
            if not rows and not floods.admits(question.label):
                reason = FLOOD
                store.store([], (), 0.0, brief=brief, brief_ttl=STAMP_SECONDS)
                return rows
            payload = make_entry(question, rows, turn.stamps, ttl, took)
            size = len(payload)
            kept = question.kept(ttl, rows)
            items = [(question.key, payload, kept), *question_item(asker, question, kept)]
            # Who waits for our claim looks for the entry once it is gone.
            wait = turn.is_claimed
            keep = partial(
                store.store,
                items,
                lasting,
                question.reach + STAMP_MARGIN,
                brief=brief,
                brief_ttl=kept + STAMP_SECONDS,
                wait=wait,
            )
            around.run(operation_of("set", question), keep) if around.hooks else keep()
        except UnstorableValue as error:
            reason = unstored_reason(error)
        except BackendError:
            reason = "store failed"
        return rows
    except Exception as error:
        rescue = None if spare is None else spare.rows(question, error)
        if rescue is None:
            raise
        how, reason = outcome.STALE, DATABASE_FAILED
        return rescue
    finally:
        land(payload)
        turn.end()
        count_read(
            question,
            how,
            started,
            load_seconds=took,
            reason=reason,
            stored_bytes=size,
            outdated=missed.is_outdated,
        )


def sifted(question: Question, load: Load, started: float) -> list[Row]:
    """What the database says, asked before any stamp is minted: in a flood, what is not there
    leaves nothing behind."""
    before = time.perf_counter()
    rows = load()
    if not rows:
        took = time.perf_counter() - before
        count_read(question, outcome.MISS, started, load_seconds=took, reason=FLOOD)
    return rows


def from_database(
    question: Question,
    load: Load,
    started: float,
    how: str,
    reason: str,
    spare: Spare | None = None,
) -> list[Row]:
    before = time.perf_counter()
    try:
        rows = load()
    except Exception as error:
        rescue = None if spare is None else spare.rows(question, error)
        if rescue is None:
            raise
        count_read(question, outcome.STALE, started, reason=DATABASE_FAILED)
        return rescue
    count_read(question, how, started, load_seconds=time.perf_counter() - before, reason=reason)
    return rows


def count_read(
    question: Question,
    how: str,
    started: float,
    *,
    load_seconds: float = 0.0,
    reason: str = "",
    stored_bytes: int = 0,
    outdated: bool = False,
) -> None:
    emit(
        ReadEvent(
            question.label,
            question.pattern,
            how,
            time.perf_counter() - started,
            load_seconds,
            stored_bytes,
            reason,
            outdated=int(outdated),
        )
    )


def operation_of(name: str, question: Question, asker: Any = None) -> around.Operation:
    return around.Operation(
        name=name,
        label=question.label,
        pattern=question.pattern,
        ttl=question.ttl,
        question=question,
        asker=asker,
    )
