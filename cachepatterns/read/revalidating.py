"""A refresh: an entry that still stands is loaded anew while readers are served from it.

It is a read like any other but for its reader: the same guards, the same stamps, held *before* the
load, the same rules for storing. What must not happen, and why it does not:

* A refresh loads the old row, a write commits and bumps, the refresh stores. The entry carries
  stamps that stand nowhere any more: it is never served, however late it comes.
* A refresh loads while a writer is registered. Then no stamps are to be had, and it ends.
* Every process refreshes the same. One claims it (as in `read.claim`, under a name of its own: no
  reader ever waits for a refresh), and looks again whether another was faster.
* A database that fails is asked again by every reader. Who has failed leaves its claim to expire.

Where it is done, ``CACHEPATTERNS["REFRESH"]`` says: by the threads of this process (`read.pool`),
or by whoever takes the message (`read.handing`).
"""

from __future__ import annotations

import os
import time
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from django.db import connections

from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.entry import is_valid, unpack
from cachepatterns.core.key import claim_key
from cachepatterns.exceptions import (
    BackendError,
    ConfigurationError,
    CorruptEntry,
    UnstorableValue,
)
from cachepatterns.observe import BurstLog, RefreshEvent, emit
from cachepatterns.read import claim, handing
from cachepatterns.read.asking import Noting, question_item
from cachepatterns.read.eligibility import why_not_in_transaction
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.pool import pool
from cachepatterns.read.question import Again, KnowingLoad, Load, Question
from cachepatterns.read.standing import STAMP_MARGIN, WRITER, mint_missing
from cachepatterns.read.statement import Statement
from cachepatterns.read.storing import make_entry, unstored_reason
from cachepatterns.transactions import is_customised

PAUSE_SECONDS = 0.2
"""For how long a process leaves alone what it could not refresh, or another one refreshes."""
PATIENCE = 3.0
"""A claim lives so many times as long as the last load took, and `FLIGHT_TIMEOUT` at least."""
POOL_FULL = "pool full"
UNTOLD = "can not be told"

log = BurstLog()


class Seen(NamedTuple):
    """The entry that a reader saw: if it is another one by now, it was refreshed already."""

    digest: bytes
    load_seconds: float


class Claimed(NamedTuple):
    """The name and the token under which a refresh is claimed from other processes."""

    name: str
    token: str


def refresh_soon(question: Question, again: Again, payload: bytes, load_seconds: float) -> None:
    """Have the entry that was found as `payload` loaded anew, unless that is under way.

    Never raises, and never waits: called by a reader who has his answer already.
    """
    if not pool.wants(question.key):
        return
    try:
        load = again()
    except Exception:
        log.log("cachepatterns can not refresh %s", question.pattern, exc_info=True)
        _emit(question, outcome.SKIPPED, UNTOLD)
        return
    job = partial(refresh, question, load, Seen(_digest(payload), load_seconds))
    if not pool.submit(question.key, job):
        _emit(question, outcome.SKIPPED, POOL_FULL)


def refresh(question: Question, load: Load, seen: Seen, claimed: Claimed | None = None) -> float:
    """Load the entry anew, or hand that over; returns for how long not to try again.

    `claimed` is the claim of whoever has handed it over. Never raises.
    """
    patience = max(config().FLIGHT_TIMEOUT, PATIENCE * seen.load_seconds)
    try:
        store = current_store()
        stamps = _stamps(store, question, seen)
        if stamps is None:
            return 0.0
        if isinstance(stamps, str):
            _emit(question, outcome.SKIPPED, stamps)
            return PAUSE_SECONDS
        if claimed is None:
            name = claim_key(config().PREFIX, f"{question.key}:refresh", stamps)
            claimed = Claimed(name, os.urandom(12).hex())
            if not store.claim(claimed.name, claimed.token, patience):
                return PAUSE_SECONDS
            if _stamps(store, question, seen) is None:  # between the lookup and the claim
                store.disclaim(claimed.name, claimed.token)
                return 0.0
            asked = handing.statement(question, load)
            if asked is not None:
                handing.hand_over(handing.Message(question, asked, *seen, *claimed))
                return patience
        _load(store, question, load, stamps)
        store.disclaim(claimed.name, claimed.token)
    except (BackendError, ConfigurationError):  # counted and logged where it happened
        _emit(question, outcome.SKIPPED, "cache failed")
        return PAUSE_SECONDS
    except Exception as error:
        log.log("cachepatterns could not refresh %s: %s", question.label, error, exc_info=True)
        _emit(question, outcome.FAILED)
        return patience  # and so long the claim keeps the other processes from trying
    return 0.0


def refresh_entry(message: str) -> None:
    """Do a refresh that another process has handed over: to be called by a worker with the
    message that it was sent (``CACHEPATTERNS["REFRESH"]``).

    Raises `django.core.signing.BadSignature` and `CorruptEntry` for what is no such message, or
    more than an hour old. A load that fails is counted and logged.
    """
    found, load = handing.taken(message)
    seen, claimed = Seen(found.digest, found.load_seconds), Claimed(found.name, found.token)
    refresh(found.question, load, seen, claimed)


def _stamps(store: Store, question: Question, seen: Seen) -> list[bytes] | str | None:
    """The stamps to load under, all minted; why there are none to be had; `None` where another
    entry stands already, and is valid."""
    found = store.read(question.guards, (question.key, *question.stamps), question.leases)
    if not all(found.is_open):
        store.tend(question.guards)
        return WRITER
    if not found.leased:
        return NO_LEASE
    payload, *standing = found.values
    if payload is not None and _digest(payload) != seen.digest and _is_valid(payload, standing):
        return None
    minted = mint_missing(store, question.guards, question.stamps, standing, question.reach)
    return WRITER if minted is None else minted


def _load(store: Store, question: Question, load: Load, stamps: list[bytes]) -> None:
    unfit = _unfit(question.using) if question.using else ""
    if unfit:
        _emit(question, outcome.SKIPPED, unfit)
        return
    knowing = load if isinstance(load, KnowingLoad) else None
    if knowing is not None:
        knowing.stamps = stamps
    before = time.perf_counter()
    with claim.loading:
        rows = load()
    took = time.perf_counter() - before
    claim.note(question, took)
    unfit = knowing.unfit if knowing is not None else ""
    if unfit:
        _emit(question, outcome.SKIPPED, unfit, took)
        return
    ttl = question.lifetime(rows)
    try:
        payload = make_entry(question, rows, stamps, ttl, took)
    except UnstorableValue as error:
        _emit(question, outcome.SKIPPED, unstored_reason(error), took)
        return
    kept = question.kept(ttl, rows)
    items = [(question.key, payload, kept)]
    if isinstance(load, (Noting, Statement)):
        items += question_item(load, question, kept)
    store.store(items, question.stamps, question.reach + STAMP_MARGIN, wait=True)
    _emit(question, outcome.REFRESHED, "", took, len(payload))


def _unfit(using: str) -> str:
    """Why nothing may be published of what is read on this alias now. A worker may deal with its
    messages in a transaction, that shows a snapshot or what nobody has committed."""
    connection = connections[using]
    if is_customised(connection):
        return "session state"
    return why_not_in_transaction(connection) or why_not_keep(connection)


def _is_valid(payload: bytes, standing: list[bytes | None]) -> bool:
    try:
        return is_valid(unpack(payload), standing)
    except CorruptEntry:
        return False


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=12).digest()


def _emit(
    question: Question, result: str, reason: str = "", took: float = 0.0, size: int = 0
) -> None:
    emit(RefreshEvent(question.label, question.pattern, result, reason, took, size))
