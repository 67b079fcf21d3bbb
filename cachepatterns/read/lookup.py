"""The whole read, on one page.

0. Where a local tier and its models' policies allow it, this process's own memory answers
   (`backends.near`).
1. One round trip fetches the guards, the entry and the stamps that stand under its tags.
   With the outbox on, the lease too: without it the database answers.
2. A guard that is not open means that a writer may be about to commit: the database answers,
   and nothing is stored. Valid (every tag still holds the very stamp the entry carries):
   decode, done.
3. Otherwise the missing stamps are minted, *before* the database is read. Where a writer has
   registered for one of the tags none is minted, and nothing is stored.
4. One caller per process loads; others who hold the same stamps wait for it. Where loads take
   long it is one caller of all processes (`read/claim.py`).
5. Where the query may see less than was committed by then (a replica that lags), its result
   is served and not stored.
6. The result is stored with the stamps held before the load. If a write has bumped one
   of them meanwhile, the entry carries a stamp that stands nowhere any more, and can
   never be served: a late store of an old value is harmless.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from django.db import connections
from django.utils.asyncio import async_unsafe

from cachepatterns import around, sampling
from cachepatterns.backends.near import Cells
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import codec, outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import pack, unpack
from cachepatterns.core.guard import guard_of
from cachepatterns.core.key import guard_key, tag_key
from cachepatterns.core.tier import Tier, jittered
from cachepatterns.exceptions import (
    BackendError,
    ConfigurationError,
    UnstorableValue,
)
from cachepatterns.observe import BurstLog, ReadEvent, emit
from cachepatterns.read import claim, shadowing
from cachepatterns.read.asking import question_item
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.flight import Flights
from cachepatterns.read.lease import NO_LEASE, lease_keys
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.remembering import record
from cachepatterns.read.standing import STAMP_MARGIN, WRITER, is_outdated, mint_missing, served
from cachepatterns.read.within import computation

Load = Callable[[], list[Row]]

TOO_LARGE = "too large"

misconfigured = BurstLog()
flights: Flights[bytes] = Flights()


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked: where its answer stands, what it depends on, which database alias
    answers it otherwise, how long the answer may live."""

    key: str
    stamps: tuple[str, ...]
    """The keys of the stamps under its tags (`stamp_keys`)."""
    guards: tuple[str, ...]
    """The keys of the guards of all its tags, each once (`guard_keys`)."""
    leases: tuple[str, ...]
    """The keys of the leases that must stand (`lease_keys`)."""
    using: str
    """Empty for computed values, which ask the databases that they read (`read.within`)."""
    ttl: float
    negative_ttl: float
    """How long it may be believed that there is nothing."""
    jitter: float
    accepts: float
    """Seconds that an answer from this process's memory may be old; 0 where none may be."""
    label: str
    pattern: str

    def lifetime(self, rows: Sequence[Row]) -> float:
        """The TTL of an entry that holds `rows`, jitter included."""
        ttl = self.ttl if rows else min(self.ttl, self.negative_ttl)
        return jittered(ttl, self.jitter, random.random)


def question_on(
    tags: Sequence[str], tier: Tier, *, key: str, using: str, label: str, pattern: str
) -> Question:
    """The question whose answer rests on `tags`, and lives as long as `tier` says (it caches)."""
    assert tier.ttl is not None
    return Question(
        key=key,
        stamps=stamp_keys(tags),
        guards=guard_keys(tags),
        leases=lease_keys(tags),
        using=using,
        ttl=tier.ttl,
        negative_ttl=tier.negative_ttl,
        jitter=tier.jitter,
        accepts=tier.accepts,
        label=label,
        pattern=pattern,
    )


def stamp_keys(tags: Iterable[str]) -> tuple[str, ...]:
    prefix = config().PREFIX
    return tuple(tag_key(prefix, tag) for tag in tags)


def guard_keys(tags: Iterable[str]) -> tuple[str, ...]:
    prefix = config().PREFIX
    return tuple(guard_key(prefix, name) for name in dict.fromkeys(map(guard_of, tags)))


@async_unsafe  # also where it hits: code that works must not depend on what is cached
def read(question: Question, load: Load, asker: Any = None) -> list[Row]:
    """The rows that answer `question`, from the cache or by calling `load`.

    `asker` is the compiler that knows the statement, where there is one.
    """
    if around.hooks:
        operation = _operation("get", question, asker)
        return around.run(operation, partial(_read, question, load, asker))
    return _read(question, load, asker)


def _operation(name: str, question: Question, asker: Any = None) -> around.Operation:
    return around.Operation(
        name=name,
        label=question.label,
        pattern=question.pattern,
        ttl=question.ttl,
        question=question,
        asker=asker,
    )


def _read(question: Question, load: Load, asker: Any) -> list[Row]:
    started = time.perf_counter()
    if random.random() < sampling.share:
        sampling.tell(question, partial(record, asker, question))
    stamps, guards = question.stamps, question.guards
    try:
        store, cells = current_store(), None
        # What may be older than Redis decides no write, and nothing new is made of it.
        if question.accepts and computation() is None and not decides_a_write():
            near = store.near.get(question.key, question.accepts)
            if near is not None:
                _count(question, outcome.NEAR, started)
                return near.decode()
            # Before Redis is asked: what it says of them from now on is heard.
            watched = (*question.guards, *question.stamps)
            cells = store.near.expect(watched, question.accepts)
        found = store.read(guards, (question.key, *stamps), question.leases)
        if not all(found.is_open):
            store.tend(
                [g for g, is_open in zip(guards, found.is_open, strict=True) if not is_open]
            )
            return _from_database(question, load, started, outcome.MISS, WRITER)
        if not found.leased:
            return _from_database(question, load, started, outcome.MISS, NO_LEASE)
        payload, *standing = found.values
        rows = served(payload, standing)
        if rows:
            if cells is not None and payload is not None:
                _keep_near(store, question, payload, cells)
            _count(question, outcome.HIT, started)
            if config().SHADOW and payload is not None and random.random() < config().SHADOW:
                shadowing.compare(question, rows, payload, load, asker)
            return rows
        if rows is not None:
            if decides_a_write():
                return _from_database(question, load, started, outcome.BYPASS, DECIDES)
            _count(question, outcome.NEGATIVE, started)
            if config().SHADOW and payload is not None and random.random() < config().SHADOW:
                shadowing.compare(question, rows, payload, load, asker)
            return rows
        held = mint_missing(store, guards, stamps, standing, question.ttl)
    except BackendError:
        return _from_database(question, load, started, outcome.ERROR, "cache failed")
    except ConfigurationError as error:
        # The checks say so too, but not every server runs them; the page gets its answer.
        misconfigured.log("cachepatterns can not read: %s", error)
        return _from_database(question, load, started, outcome.ERROR, "misconfigured")
    if held is None:
        return _from_database(question, load, started, outcome.MISS, WRITER)
    # Those that were minted have been given their time then.
    lasting = () if None in standing else question.stamps
    missed = _Missed(payload, is_outdated(payload, standing))
    return _load_once(store, question, held, load, started, asker, lasting, missed)


def _keep_near(store: Store, question: Question, payload: bytes, cells: Cells) -> None:
    entry = unpack(payload)
    ttl = entry.stored_at + entry.ttl - time.time()
    if question.leases:
        ttl = min(ttl, question.accepts)  # nobody tells us when a lease is not renewed
    store.near.put(question.key, entry, cells, ttl)


def make_entry(rows: list[Row], stamps: Sequence[bytes], ttl: float, load_seconds: float) -> bytes:
    """The payload of `rows`; raises `UnstorableValue` with the reason."""
    signature, body = codec.encode_rows(rows)
    payload = pack(
        stamps=stamps,
        stored_at=time.time(),
        load_seconds=load_seconds,
        ttl=ttl,
        row_count=len(rows),
        signature=signature,
        body=body,
        compress_above=config().COMPRESS_ABOVE,
    )
    if len(payload) > config().MAX_VALUE_BYTES:
        raise UnstorableValue(TOO_LARGE)
    return payload


def unstored_reason(error: UnstorableValue) -> str:
    return TOO_LARGE if str(error) == TOO_LARGE else "unstorable"


class _Missed(NamedTuple):
    """The entry that stood there and could not be served, and whether a write was why."""

    payload: bytes | None
    is_outdated: bool


def _load_once(
    store: Store,
    question: Question,
    stamps: list[bytes],
    load: Load,
    started: float,
    asker: Any,
    lasting: Sequence[str],
    missed: _Missed,
) -> list[Row]:
    flight = (question.key, tuple(stamps))
    land = flights.lead(flight)
    if land is None:
        shared = flights.wait(flight, config().FLIGHT_TIMEOUT)
        if shared is not None:
            _count(question, outcome.SHARED, started)
            return unpack(shared).decode()
        return _from_database(question, load, started, outcome.MISS, "flight failed")
    turn = claim.Turn(stamps)
    payload: bytes | None = None
    how, reason, size, took = outcome.MISS, "load failed", 0, 0.0
    try:
        if claim.is_worth_it(question, missed.payload):
            turn = claim.take_turn(store, question, stamps)
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
        if hasattr(load, "stamps") and not unfit:
            load.stamps = turn.stamps
        before = time.perf_counter()
        with claim.loading:
            rows = load()
        took = time.perf_counter() - before
        claim.note(question, took)
        reason = unfit = unfit or getattr(load, "unfit", "")
        if unfit:
            return rows
        ttl = question.lifetime(rows)
        try:
            payload = make_entry(rows, turn.stamps, ttl, took)
            size = len(payload)
            items = [(question.key, payload, ttl), *question_item(asker, question, ttl)]
            # Who waits for our claim looks for the entry once it is gone.
            wait = turn.is_claimed
            keep = partial(store.store, items, lasting, question.ttl + STAMP_MARGIN, wait=wait)
            around.run(_operation("set", question), keep) if around.hooks else keep()
        except UnstorableValue as error:
            reason = unstored_reason(error)
        except BackendError:
            reason = "store failed"
        return rows
    finally:
        land(payload)
        turn.end()
        _count(
            question,
            how,
            started,
            load_seconds=took,
            reason=reason,
            stored_bytes=size,
            outdated=missed.is_outdated,
        )


def _from_database(
    question: Question, load: Load, started: float, how: str, reason: str
) -> list[Row]:
    before = time.perf_counter()
    rows = load()
    _count(question, how, started, load_seconds=time.perf_counter() - before, reason=reason)
    return rows


def _count(
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
