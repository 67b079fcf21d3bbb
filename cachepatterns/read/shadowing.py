"""Shadowing: a share of the hits is compared with what the database says, while they are served.

``cache_verify`` looks at entries at rest; this looks at what visitors were told (``SHADOW``).
What must not happen is a false alarm: a write that is committed between the hit and the
comparison makes the two differ, and neither is wrong. So an entry counts as stale only if, after
the database was asked, it still stands, unchanged, with all of its stamps: a stamp that was
bumped never stands again, so it was served all the while. An entry of an eventual policy may be
served until its writer has returned; it is looked at again a second later, by a thread of its own.

Never raises, never holds up more than `PER_SECOND` reads a second by one query each, and leaves
the reader's transaction as it was: within one the query runs behind a savepoint.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import connections, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.core.asked import FRESH, RAW, STALE, UNKNOWN, Asked
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import is_valid, unpack
from cachepatterns.core.key import GUARD, ROW
from cachepatterns.declarations import find_model
from cachepatterns.exceptions import CachePatternsError, UnstorableValue
from cachepatterns.observe import BurstLog, ShadowEvent, emit
from cachepatterns.read.asking import Noting
from cachepatterns.read.origin import why_not_keep
from cachepatterns.read.remembering import packed_question
from cachepatterns.registry import site
from cachepatterns.signals import stale_hit

PER_SECOND = 10
"""Comparisons that a process makes a second, at most."""
PATIENCE = 1.0
"""Seconds that an eventual writer has to return."""
WAITING = 4
"""Entries of eventual policies that wait for their second look."""
MOVING = "moving"

log = BurstLog()
failures = BurstLog()


class _Here(threading.local):
    busy = False
    """Whether this thread is comparing: what a comparison reads is not compared."""


_here = _Here()
_waiting = threading.BoundedSemaphore(WAITING)


class _Budget:
    """So many a second."""

    def __init__(self) -> None:
        self._second, self._left = 0, 0

    def take(self) -> bool:
        # Without a lock: what two threads take at once may be counted as one.
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._left = now, PER_SECOND
        self._left -= 1
        return self._left >= 0


budget = _Budget()


def compare(
    question: Any, rows: Sequence[Row], payload: bytes, load: Callable[[], list[Row]], asker: Any
) -> None:
    """Compare `rows`, a hit's answer to `question`, with what `load` finds; tell what came of it.

    `payload` is the entry that they came from.
    """
    is_row = question.key.startswith(f"{config().PREFIX}:{ROW}:")
    if not (is_row or asker is not None) or _here.busy or not budget.take():
        return  # what a function has computed is not computed twice
    _here.busy = True
    try:
        _compare(question, rows, payload, load, asker)
    except Exception:  # the page has its answer
        failures.log("cachepatterns could not compare a hit with the database", exc_info=True)
    finally:
        _here.busy = False


def _compare(
    question: Any, rows: Sequence[Row], payload: bytes, load: Callable[[], list[Row]], asker: Any
) -> None:
    connection = connections[question.using]
    is_raw = isinstance(asker, Noting) and asker.form == RAW
    known = None if asker is None or is_raw else _known(asker, question)
    if why_not_keep(connection) or not (asker is None or is_raw or known is not None):
        _tell(question, UNKNOWN)  # a replica that lags, or a question that can not be judged
        return
    within = transaction.atomic(question.using) if connection.in_atomic_block else nullcontext()
    with within:
        found = load()
    if is_raw:
        how = FRESH if list(rows) == list(found) else UNKNOWN
    else:
        sql, ordered = (known.sql, known.ordered) if known is not None else ("", True)
        how = asked.verdict(rows, found, sql, ordered=ordered)
    if how != STALE:
        _tell(question, how)
        return
    difference = asked.difference(rows, found)
    if all(map(_is_strict, question.guards)):
        _judge(question, payload, difference)
    elif _waiting.acquire(blocking=False):
        timer = threading.Timer(PATIENCE, _look_again, [question, payload, difference])
        timer.daemon = True
        timer.start()
    else:
        _tell(question, UNKNOWN)


def _look_again(question: Any, payload: bytes, difference: str) -> None:
    try:
        _judge(question, payload, difference)
    except CachePatternsError as error:
        failures.log("cachepatterns could not look at a hit again: %s", error)
    finally:
        _waiting.release()


def _judge(question: Any, payload: bytes, difference: str) -> None:
    """An answer that differs: stale, if its entry is still what would be served."""
    backend = current_store().backend
    reading = backend.read(question.guards, [question.key, *question.stamps], question.leases)
    found, *standing = reading.values
    served = all(reading.is_open) and reading.leased and found == payload
    if not (served and is_valid(unpack(payload), standing)):
        _tell(question, MOVING)
        return
    _tell(question, STALE, difference)
    log.log("cachepatterns: a hit differs from the database: %s %s", question.key, difference)
    told = {"label": question.label, "pattern": question.pattern, "key": question.key}
    stale_hit.send_robust(sender=None, difference=difference, **told)


def _tell(question: Any, verdict: str, difference: str = "") -> None:
    key = question.key if verdict == STALE else ""
    emit(ShadowEvent(question.label, question.pattern, verdict, key, difference))


def _known(asker: Any, question: Any) -> Asked | None:
    """The statement, and whether its order is told; `None` where that can not be known."""
    try:
        packed = packed_question(asker, question)
    except UnstorableValue:
        return None
    return None if packed is None else asked.unpack(packed)


def _after_fork() -> None:
    """The threads that wait are the parent's."""
    global _waiting
    _waiting = threading.BoundedSemaphore(WAITING)


os.register_at_fork(after_in_child=_after_fork)


def _is_strict(guard: str) -> bool:
    label = guard.partition(f":{GUARD}:")[2].partition("@")[0]
    model = find_model(label)
    policy = site.policy_for(model) if model is not None else None
    return policy is None or policy.is_strict
