"""The whole read, on one page and the next: its order is what makes it right.

0. Where a local tier and its models' policies allow it, this process's own memory answers
   (`backends.near`).
1. One round trip fetches the guards, the entry and the stamps that stand under its tags.
   With the outbox on, the lease too: without it the database answers.
2. A guard that is not open means that a writer may be about to commit. If that is not over in a
   moment (`read/patience.py`), the database answers, and nothing is stored. Valid (every tag
   still holds the very stamp the entry carries): decode, done.
3. Otherwise the missing stamps are minted, *before* the database is read. Where a writer has
   registered for one of the tags none is minted, and nothing is stored.
4. (From here on in `read/loading.py`.) One caller per process loads; others who hold the same
   stamps wait for it. Where loads take long it is one caller of all processes
   (`read/claim.py`).
5. Where the query may see less than was committed by then (a replica that lags), its result
   is served and not stored.
6. The result is stored with the stamps held before the load. If a write has bumped one
   of them meanwhile, the entry carries a stamp that stands nowhere any more, and can
   never be served: a late store of an old value is harmless.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cachepatterns import around, sampling
from cachepatterns.backends.near import Cells
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import unpack
from cachepatterns.exceptions import (
    BackendError,
    ConfigurationError,
)
from cachepatterns.observe import BurstLog
from cachepatterns.read import shadowing
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.floods import floods, narrow
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.loading import (
    Missed,
    count_read,
    from_database,
    load_once,
    operation_of,
    sifted,
)
from cachepatterns.read.outage import is_outage
from cachepatterns.read.patience import look_again
from cachepatterns.read.question import Again, Load, Question
from cachepatterns.read.remembering import record
from cachepatterns.read.softly import Spare, judge, near_ttl, spare_one
from cachepatterns.read.standing import WRITER, is_outdated, mint_missing, served
from cachepatterns.read.waiting import must_be_allowed
from cachepatterns.read.within import computation, told

misconfigured = BurstLog()


def read(
    question: Question,
    load: Load,
    asker: Any = None,
    *,
    again: Again | None = None,
    survives: Callable[[BaseException], bool] = is_outage,
) -> list[Row]:
    """The rows that answer `question`, from the cache or by calling `load`.

    `asker` is the compiler that knows the statement, where there is one. `again` gives a load for
    another thread, or `None` where there can be none: then nothing is refreshed in the background
    (`Again`). `survives` tells of an error of the load whether it may be answered by an entry that
    is past its time (``stale_if_error``); else it is raised, as ever.

    Raises `SynchronousOnlyOperation` in a coroutine.
    """
    must_be_allowed()
    if around.hooks:
        operation = operation_of("get", question, asker)
        return around.run(operation, partial(_read, question, load, asker, again, survives))
    return _read(question, load, asker, again, survives)


def _read(
    question: Question,
    load: Load,
    asker: Any,
    again: Again | None,
    survives: Callable[[BaseException], bool],
) -> list[Row]:
    started = time.perf_counter()
    if random.random() < sampling.share:
        sampling.tell(question, partial(record, asker, question))
    stamps, guards = question.stamps, question.guards
    value = computation()
    if value is not None and question.using:
        value.asks(stamps)
        load = partial(told, load)
    try:
        store, cells = current_store(), None
        # What may be older than Redis decides no write, and nothing new is made of it.
        if question.accepts and value is None and not decides_a_write():
            near = store.near.get(question.key, question.accepts)
            if near is not None:
                count_read(question, outcome.NEAR, started)
                return near.decode()
            # Before Redis is asked: what it says of them from now on is heard.
            watched = (*question.guards, *question.stamps)
            cells = store.near.expect(watched, question.accepts)
        keys = (question.key, *stamps)
        found = store.read(guards, keys, question.leases)
        if not all(found.is_open):
            found = look_again(store, guards, keys, question.leases, found)
            shut = [g for g, is_open in zip(guards, found.is_open, strict=True) if not is_open]
            if shut:
                store.tend(shut)
                return from_database(question, load, started, outcome.MISS, WRITER)
        payload, *standing = found.values
        if not found.leased:
            kept = Spare(survives, spare_one(question, payload, standing))
            return from_database(question, load, started, outcome.MISS, NO_LEASE, kept)
        spare: Spare | None = None
        if question.soft is None or payload is None:
            rows = served(payload, standing)
        else:
            judged = judge(store, question, payload, standing, started, again)
            rows, spare = judged.rows, Spare(survives, judged.spare)
            if rows is not None and judged.stale:
                count_read(question, outcome.STALE, started, reason=judged.stale)
                return rows
        if rows:
            if cells is not None and payload is not None:
                _keep_near(store, question, payload, cells, started)
            count_read(question, outcome.HIT, started)
            if config().SHADOW and payload is not None and random.random() < config().SHADOW:
                shadowing.compare(question, rows, payload, load, asker)
            return rows
        if rows is not None:
            if decides_a_write():
                return from_database(question, load, started, outcome.BYPASS, DECIDES)
            count_read(question, outcome.NEGATIVE, started)
            if config().SHADOW and payload is not None and random.random() < config().SHADOW:
                shadowing.compare(question, rows, payload, load, asker)
            return rows
        if payload is None and None in standing and floods.is_on(question.label):
            rows = sifted(question, load, started)
            if not rows:
                return []
        held = mint_missing(store, guards, stamps, standing, question.reach)
    except BackendError:
        return from_database(question, load, started, outcome.ERROR, "cache failed")
    except ConfigurationError as error:
        # The checks say so too, but not every server runs them; the page gets its answer.
        misconfigured.log("cachepatterns can not read: %s", error)
        return from_database(question, load, started, outcome.ERROR, "misconfigured")
    if held is None:
        return from_database(question, load, started, outcome.MISS, WRITER)
    # Those that were minted have been given their time then.
    lasting = () if None in standing else question.stamps
    missed = Missed(payload, is_outdated(payload, standing), narrow(stamps, standing))
    return load_once(store, question, held, load, started, asker, lasting, missed, spare)


def _keep_near(
    store: Store, question: Question, payload: bytes, cells: Cells, started: float
) -> None:
    entry = unpack(payload)
    ttl = near_ttl(question, entry)
    if question.leases:
        # Nobody tells us when a lease is not renewed. It stood when Redis was asked, not now.
        ttl = min(ttl, question.accepts - (time.perf_counter() - started))
    if ttl > 0:
        store.near.put(question.key, entry, cells, ttl)
