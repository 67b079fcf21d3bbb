"""One loader of all processes: a claim in Redis for what takes long to load.

In a process `Flights` has one caller load; where that takes long, he first claims the load
from the loaders of other processes. It is a lease with an owner's token, taken by ``SET NX PX``,
taken back by comparing and deleting. Whoever comes too late looks for the entry now and then,
by the same read as ever, and answers from it only if it is valid as ever.

A claim only spares work. What vouches for an entry is its stamps, so an owner whose claim has
expired may store what it likes. What must not happen:

* A stores and takes its claim back between B's lookup and B's claim; B loads again. So
  whoever has claimed looks once more.
* B waits for a load that began before the write that B has seen. So a claim is named by key
  *and* stamps, as a flight is.
* A writer bumps while B waits: A's entry will be worthless, and so would be what B loads next
  under its own stamps. So B mints anew and claims under the new name.
* A's claim has expired and is B's; A takes B's back. So a token is compared.
* A loads X and waits for Y, B loads Y and waits for X. So nobody waits within a load.
* A's query waits for a lock that B's transaction holds. So nobody waits in a transaction.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING

from django.db import connections

from cachepatterns.backends.store import Store
from cachepatterns.conf import config
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import unpack
from cachepatterns.core.key import claim_key
from cachepatterns.exceptions import BackendError, CorruptEntry
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.standing import WRITER, mint_missing, served
from cachepatterns.transactions import in_transaction

if TYPE_CHECKING:
    from cachepatterns.read.question import Question

SLOW_SECONDS = 0.01
"""From which time on a load is worth four round trips more."""
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.005, 1.5, 0.05
"""Seconds between two looks, before jitter."""
_FADING, _PATTERNS_MAX = 0.9, 4096

_times: dict[tuple[str, str], float] = {}
"""What loads take, by label and pattern: the longest, fading with every shorter one."""


class _Within(threading.local):
    """A block of this thread's."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *args: object) -> None:
        self.depth -= 1


loading = _Within()
"""Within it, this thread is loading."""
eagerly = _Within()
"""Within it, this thread claims quick loads too: several warm-ups may run at once."""


def note(question: Question, seconds: float) -> None:
    """Remember what a load took."""
    name = (question.label, question.pattern)
    known = _times.get(name)
    if known is None and len(_times) >= _PATTERNS_MAX:
        _times.clear()
    _times[name] = seconds if known is None else max(seconds, known * _FADING)


def forget() -> None:
    """Know of no load what it takes."""
    _times.clear()


def is_worth_it(question: Question, outdated: bytes | None) -> bool:
    """Whether the load takes long, or may, and the caller may wait for another's.

    `outdated` is the entry that stood there, which tells what it took to load.
    """
    known = _times.get((question.label, question.pattern), SLOW_SECONDS)
    if known < SLOW_SECONDS and not eagerly.depth:
        try:
            if outdated is None or unpack(outdated).load_seconds < SLOW_SECONDS:
                return False
        except CorruptEntry:
            return False
    if loading.depth or any(map(in_transaction, connections.all(initialized_only=True))):
        return False
    return not decides_a_write()


class Turn:
    """How it goes on for who wanted to claim a load: with another's answer, or a load of one's
    own, claimed or not."""

    __slots__ = ("_claimed", "payload", "rows", "stamps", "unfit")

    def __init__(self, stamps: list[bytes], unfit: str = "") -> None:
        self.stamps = stamps
        """Those to load under."""
        self.unfit = unfit
        """Why what is loaded must not be stored."""
        self.rows: list[Row] | None = None
        self.payload: bytes | None = None
        """The valid entry that another has stored meanwhile, and its rows."""
        self._claimed: tuple[Store, str, str] | None = None

    @property
    def is_claimed(self) -> bool:
        return self._claimed is not None

    def claim(self, store: Store, question: Question, seconds: float) -> bool:
        """Claim the load under `stamps` unless another has."""
        token = os.urandom(12).hex()
        name = claim_key(config().PREFIX, question.key, self.stamps)
        if not store.claim(name, token, seconds):
            return False
        self._claimed = store, name, token
        return True

    def end(self) -> None:
        """Take the claim back, if there is one: whoever waits goes on. Never raises."""
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            store, name, token = claimed
            store.disclaim(name, token)


def take_turn(
    store: Store, question: Question, stamps: list[bytes], passed: bytes | None = None
) -> Turn:
    """Claim the load of what is missing, or wait for who has, ``FLIGHT_TIMEOUT`` at most. `passed`
    is what the caller has found there: valid or not, it is no answer.

    Half of it is what a claim lives: if its owner dies there is time for another's load.
    """
    turn = Turn(stamps)
    timeout = config().FLIGHT_TIMEOUT
    deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
    try:
        while True:
            is_mine = turn.claim(store, question, timeout / 2)
            found = store.read(question.guards, (question.key, *question.stamps), question.leases)
            payload, *standing = found.values
            if not all(found.is_open) or not found.leased:
                turn.unfit = NO_LEASE if all(found.is_open) else WRITER
                break
            turn.rows = None if payload == passed else served(payload, standing)
            if turn.rows is not None:
                turn.payload = payload
                break
            if standing != turn.stamps:
                turn.end()
                minted = mint_missing(
                    store, question.guards, question.stamps, standing, question.reach
                )
                if minted is None:
                    turn.unfit = WRITER
                    break
                turn.stamps, is_mine = minted, False
            elif is_mine:
                return turn
            else:
                time.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * GROWTH, LONGEST_PAUSE)
            if time.monotonic() >= deadline:
                break
    except BackendError:
        pass  # counted and logged; the database answers
    except BaseException:
        turn.end()
        raise
    turn.end()
    return turn
