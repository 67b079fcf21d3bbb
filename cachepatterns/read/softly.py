"""A hit, where the tier says what may be done with an entry near its end and after it.

What must not happen, and why it does not:

* An entry that a write has outdated is served as merely expired. Its stamps are compared first,
  as ever; only then is its age asked for.
* A read that decides a write is answered by what is past its time. It loads.
* A value is computed of what is past its time, and kept for as long as any. Within a computation
  nothing of the kind is served; what must be, since the database fails, spoils the value.
* An entry is given a longer life while a writer bumps. Its stamps stay what they were: it stands
  longer, and is served by nobody. The stamps themselves were given time enough for the longest
  life when they were minted, so none ends before its entries.
* What has been invalidated is served for longer than the policy accepts. Nobody notes the moment
  of a bump; but the entry was right when it was loaded, and when this process saw its stamps
  stand. So it is served for that many seconds after the later of the two.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from django.db import connections

from cachepatterns.backends.store import Store
from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import Entry, is_valid, prolonged, unpack
from cachepatterns.core.softness import Softness
from cachepatterns.core.tier import jittered
from cachepatterns.exceptions import BackendError, CorruptEntry
from cachepatterns.observe import BurstLog, ErrorEvent, RefreshEvent, emit
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.question import Again, Question
from cachepatterns.read.revalidating import refresh_soon
from cachepatterns.read.within import computation, spoil
from cachepatterns.transactions import in_transaction

EXPIRED, INVALIDATED, DATABASE_FAILED = "expired", "invalidated", "database failed"
"""Why something was served that is past its time."""

_SIGHTINGS_MAX = 10_000

log = BurstLog()
clock = time.time


class Judged(NamedTuple):
    """What an entry is good for."""

    rows: list[Row] | None = None
    """To be served now."""
    stale: str = ""
    """Why they are past their time; empty if they are not."""
    spare: Entry | None = None
    """To be served if the load fails."""


def judge(
    store: Store,
    question: Question,
    payload: bytes,
    standing: list[bytes | None],
    began: float,
    again: Again | None,
) -> Judged:
    """Judge what stands under the key of a question that is `soft`, by the stamps that stood when
    it was read, which was after `began` (`time.perf_counter`). `again` is how to refresh it."""
    soft = question.soft
    assert soft is not None
    try:
        entry = unpack(payload)
        if None in standing or not is_valid(entry, standing):
            return _outdated(question, soft, entry, payload, began, again)
        if soft.serves_invalidated:
            _saw(question, entry, began)
        left = entry.ends_at - clock()
        if left > 0:
            rows = entry.decode()
            if rows:
                _before_its_end(store, question, soft, entry, payload, left, again)
            return Judged(rows)
        if not entry.rows or -left >= soft.beyond or decides_a_write():
            return Judged()
        if -left < soft.stale_for and again is not None and computation() is None:
            rows = entry.decode()
            refresh_soon(question, again, payload, entry.load_seconds)
            return Judged(rows, EXPIRED)
        return Judged(spare=entry if -left < soft.stale_if_error else None)
    except CorruptEntry as error:
        emit(ErrorEvent("decode", "corrupt", str(error)))
        return Judged()


def spare_one(
    question: Question, payload: bytes | None, standing: list[bytes | None]
) -> Entry | None:
    """What may be served if the database fails, where nobody vouches for the stamps (no lease)."""
    soft = question.soft
    if soft is None or not soft.stale_if_error or payload is None or None in standing:
        return None
    try:
        entry = unpack(payload)
    except CorruptEntry:
        return None
    if not is_valid(entry, standing) or not entry.rows or decides_a_write():
        return None
    return entry if clock() < entry.ends_at + soft.stale_if_error else None


class Spare(NamedTuple):
    """What is served if the load fails, and with which errors; mostly nothing."""

    survives: Callable[[BaseException], bool]
    entry: Entry | None

    def rows(self, question: Question, error: Exception) -> list[Row] | None:
        """The rows to serve although the load has failed; `None` where that must be raised.

        Not within a transaction: what is read there goes with what is written.
        """
        if self.entry is None or not self.survives(error) or _in_any_transaction():
            return None
        try:
            rows = self.entry.decode()
        except CorruptEntry:
            return None
        spoil(EXPIRED)
        log.log("cachepatterns serves %s past its time: %s", question.label, error)
        return rows


def near_ttl(question: Question, entry: Entry) -> float:
    """How long the near-cache may keep an entry: not when every reader must see it in Redis."""
    left = entry.ends_at - clock()
    if question.soft is None:
        return left
    return left - question.soft.watched(question.ttl, entry.load_seconds)


def _before_its_end(
    store: Store,
    question: Question,
    soft: Softness,
    entry: Entry,
    payload: bytes,
    left: float,
    again: Again | None,
) -> None:
    """Refresh a fresh entry early, or let it live longer."""
    if (
        soft.early_refresh
        and again is not None
        and soft.is_due_early(left, entry.load_seconds, random.random)
    ):
        refresh_soon(question, again, payload, entry.load_seconds)
    elif soft.max_age:
        now = clock()
        ttl = jittered(question.ttl, question.jitter, random.random)
        life = soft.longer_life(now - entry.stored_at, left, ttl)
        if life:
            try:
                store.prolong(question.key, prolonged(entry, now + life), life + soft.beyond)
            except BackendError:  # counted and logged; the reader has his answer
                return
            emit(RefreshEvent(question.label, question.pattern, outcome.EXTENDED))


def _outdated(
    question: Question,
    soft: Softness,
    entry: Entry,
    payload: bytes,
    began: float,
    again: Again | None,
) -> Judged:
    """An entry that a write has outdated: of any use only where the policy says so in words."""
    if not soft.serves_invalidated or again is None or not entry.rows:
        return Judged()
    loaded = clock() - entry.stored_at + entry.load_seconds
    stamps, moment = _sightings.get(question.key, ([], float("-inf")))
    seen = time.perf_counter() - moment if stamps == entry.stamps else loaded
    if min(loaded, seen) > soft.serves_invalidated or clock() >= entry.ends_at + soft.stale_for:
        return Judged()
    if decides_a_write() or _in_any_transaction() or computation() is not None:
        return Judged()
    rows = entry.decode()
    refresh_soon(question, again, payload, entry.load_seconds)
    return Judged(rows, INVALIDATED)


def _in_any_transaction() -> bool:
    return any(map(in_transaction, connections.all(initialized_only=True)))


_sightings: OrderedDict[str, tuple[list[bytes], float]] = OrderedDict()
"""When this process last saw the stamps of an entry stand, and which they were: another one may
be stored late under the same key."""


def _saw(question: Question, entry: Entry, moment: float) -> None:
    _sightings[question.key] = entry.stamps, moment
    with contextlib.suppress(KeyError):  # dropped by another thread, for want of room
        _sightings.move_to_end(question.key)
    if len(_sightings) > _SIGHTINGS_MAX:
        _sightings.popitem(last=False)
