"""The outbox, delivered: one round of a relay over one database.

What must not happen, and why it does not:

* *An event is marked delivered, but nobody bumped.* The bump comes first, and the mark in the
  database is committed after it; whoever dies in between has the event delivered twice.
* *An event is skipped because of its id.* Ids are given before the COMMIT, so one that is
  committed late has a lower id than others that were delivered long ago. No position is kept:
  what is asked for is ``delivered_at IS NULL``.
* *A lease is renewed while a commit is not bumped.* `Delivery.round` takes Redis' time, then a
  snapshot of what is undelivered, then delivers; if all of the snapshot is delivered, by
  whomever, everything committed before the snapshot has been bumped. The lease counts from the
  time that was taken first, by Redis' own clock, so no pause or clock of ours can lengthen it.
* *Another relay holds an event and has not bumped it.* ``SKIP LOCKED`` passes it by, but the
  snapshot, which locks nothing, contains it; until it is delivered no lease is renewed.
* *Redis has failed over, and lost the newest bumps.* Its incarnation is another one: before
  the first lease there, all events that are kept are bumped again.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Now

from cachepatterns.backends.base import Moment
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key, mark_key, replayed_key, tag_key
from cachepatterns.models import InvalidationEvent as Row
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.transactions import database_id
from cachepatterns.write.dispatch import tell
from cachepatterns.write.payloads import told

BATCH = 500
SNAPSHOT = 5000
"""How many undelivered events a round looks at; with more than that it renews no lease."""
_WEEK = 7 * 24 * 3600.0

log = BurstLog()

Told = tuple[int, str, str, str]
"""``(id, token, source, payload as text)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What one round did. ``backlog`` is what was undelivered at its beginning."""

    backlog: int
    delivered: int
    leased: bool


class Delivery:
    """Delivers the events of one database. Nothing is kept between rounds."""

    def __init__(self, using: str, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.using = using
        self._is_stopping = is_stopping

    def round(self) -> Round:
        """Deliver what is there, and renew the lease if nothing is left.

        Raises `BackendError` where Redis fails: all events are kept; `DatabaseError` where
        the database does.
        """
        store = current_store()
        since = store.call("ask the time", store.backend.moment)
        waiting = set(
            self._events()
            .filter(delivered_at=None)
            .order_by("id")[: SNAPSHOT + 1]
            .values_list("id", flat=True)
        )
        delivered: set[int] = set()
        while waiting and not self._is_stopping():
            batch = self._deliver_batch(store)
            delivered.update(batch)
            if len(batch) < BATCH:
                break
        left = waiting - delivered
        confirmed = len(waiting) <= SNAPSHOT and not (left and self._any_waiting(left))
        leased = confirmed and self._renew(store, since)
        return Round(backlog=len(waiting), delivered=len(delivered), leased=leased)

    def forget_old(self) -> int:
        """Delete a batch of the events that are kept no longer; returns how many there were."""
        old = Now() - datetime.timedelta(seconds=config().OUTBOX_RETENTION_SECONDS)
        ids = self._events().filter(delivered_at__lt=old).order_by("delivered_at", "id")
        found = list(ids.values_list("id", flat=True)[: 2 * BATCH])
        if found:
            self._events().filter(id__in=sorted(found)).delete()
        return len(found)

    # -- delivering -----------------------------------------------------------------------

    def _deliver_batch(self, store: Store) -> list[int]:
        """Bump a batch of events that nobody else is at, and mark them; returns their ids."""
        connection = connections[self.using]
        wanted = self._events().filter(delivered_at=None).order_by("id")
        if not connection.features.has_select_for_update_skip_locked:
            return self._bump_and_mark(store, _as_told(wanted))
        with transaction.atomic(using=self.using):
            return self._bump_and_mark(store, _as_told(wanted.select_for_update(skip_locked=True)))

    def _bump_and_mark(self, store: Store, batch: Sequence[Told]) -> list[int]:
        if not batch:
            return []
        prefix = config().PREFIX
        tokens = sorted({token for _, token, _, _ in batch if token})
        keys = [mark_key(prefix, token) for token in tokens]
        marks = store.call("read marks", store.backend.get_many, keys) if keys else []
        done = {token for token, mark in zip(tokens, marks, strict=True) if mark is not None}
        self._bump(store, [told_ for told_ in batch if told_[1] not in done])
        ids = [event for event, *_ in batch]
        self._events().filter(id__in=ids).update(delivered_at=Now())
        return ids

    def _bump(self, store: Store, batch: Iterable[Told]) -> None:
        connection = connections[self.using]
        found = [told(payload, source, connection) for _, _, source, payload in batch]
        events = [event for event in found if event is not None]
        if not events:
            return
        started = time.perf_counter()
        _delete(store, events)
        tell(events, time.perf_counter() - started, delivered=True)

    # -- the lease ------------------------------------------------------------------------

    def _any_waiting(self, ids: set[int]) -> bool:
        return self._events().filter(delivered_at=None, id__in=ids).exists()

    def _renew(self, store: Store, since: Moment) -> bool:
        prefix, database = config().PREFIX, database_id(connections[self.using])
        replayed = replayed_key(prefix, database)
        run = since.run.encode() or b"-"
        if store.call("read", store.backend.get_many, [replayed]) != [run]:
            self._replay(store)
            if self._is_stopping():
                return False
            store.call("store", store.backend.store, [(replayed, run, _WEEK)], [], _WEEK)
        key, seconds = lease_key(prefix, database), config().LEASE_SECONDS
        return store.call("renew the lease", store.backend.lease, key, since, seconds)

    def _replay(self, store: Store) -> None:
        """Bump again all that is kept, marks or not: these may have come through alone."""
        connection, last, count = connections[self.using], 0, 0
        while not self._is_stopping():
            batch = _as_told(self._events().filter(id__gt=last).order_by("id"))
            if not batch:
                break
            found = [told(payload, source, connection) for _, _, source, payload in batch]
            _delete(store, [event for event in found if event is not None])
            last, count = batch[-1][0], count + len(batch)
        if count:
            replays.log("Redis is another one or has restarted: %s events were replayed", count)

    def _events(self) -> QuerySet[Row]:
        return Row._base_manager.using(self.using)


replays = BurstLog(interval=0.0, level=20)


def _as_told(events: QuerySet[Row]) -> list[Told]:
    text = Cast("payload", TextField())
    return list(events.values_list("id", "token", "source", text)[:BATCH])


def _delete(store: Store, events: Iterable[InvalidationEvent]) -> None:
    """Bump the tags; raises `BackendError`, since what fails is not owed but kept."""
    prefix = config().PREFIX
    keys = dict.fromkeys(tag_key(prefix, tag) for event in events for tag in event.tags)
    if keys:
        store.call("relay", store.backend.delete, list(keys))
