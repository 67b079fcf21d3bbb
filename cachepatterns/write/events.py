"""The events of one outbox: what waits in it, bumped batch by batch and marked as delivered."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connections, transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Now

from cachepatterns.backends.store import Store
from cachepatterns.conf import config
from cachepatterns.core.key import mark_key, tag_key
from cachepatterns.models import InvalidationEvent as Row
from cachepatterns.observe import ErrorEvent, InvalidationEvent, emit
from cachepatterns.write.dispatch import tell
from cachepatterns.write.payloads import told

BATCH = 500
SNAPSHOT = 5000
"""How many undelivered events a round looks at; with more than that it renews no lease."""

Told = tuple[int, str, str, str]
"""``(id, token, source, payload as text)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What was done. ``is_empty`` tells that nothing of the ``backlog``, of what was undelivered
    at the beginning, is left, whoever has delivered it."""

    backlog: int
    delivered: int
    is_empty: bool


class Read(NamedTuple):
    """An event, and what it was understood to be; or why it was not."""

    id: int
    event: InvalidationEvent | None
    error: str


class Events:
    """The outbox that an alias leads to, but for what other sites' relays deliver.

    The interleaving that must not happen: a writer of a site is cut off from its Redis, a relay
    of another site delivers its event to *that* site's Redis, its own relay finds nothing left
    and renews the lease.
    """

    def __init__(self, using: str) -> None:
        self.using = using

    def deliver(self, store: Store, is_stopping: Callable[[], bool]) -> Delivered:
        """Deliver what is there; `is_stopping` is asked between two batches."""
        waiting, done = self._waiting(), set[int]()
        while waiting and not is_stopping():
            batch = self._deliver_batch(store)
            done.update(batch)
            if len(batch) < BATCH:
                break
        left = waiting - done
        is_empty = len(waiting) <= SNAPSHOT and not (left and self._are_any_waiting(left))
        return Delivered(backlog=len(waiting), delivered=len(done), is_empty=is_empty)

    def _waiting(self) -> set[int]:
        """The ids of what is not delivered. Locks nothing, so what others hold is among them."""
        ids = self._all().filter(delivered_at=None).order_by("id")[: SNAPSHOT + 1]
        return set(ids.values_list("id", flat=True))

    def _are_any_waiting(self, ids: set[int]) -> bool:
        return self._all().filter(delivered_at=None, id__in=ids).exists()

    def _deliver_batch(self, store: Store) -> list[int]:
        """Bump a batch of events that nobody else is at, and mark them; returns their ids."""
        connection = connections[self.using]
        wanted = self._all().filter(delivered_at=None).order_by("id")
        if not connection.features.has_select_for_update_skip_locked:
            return self._bump_and_mark(store, _as_told(wanted))
        with transaction.atomic(using=self.using):
            return self._bump_and_mark(store, _as_told(wanted.select_for_update(skip_locked=True)))

    def all_kept(self) -> Iterator[Sequence[Told]]:
        """Whatever stands in the table, delivered or not, in batches."""
        last = 0
        while batch := _as_told(self._all().filter(id__gt=last).order_by("id")):
            yield batch
            last = batch[-1][0]

    def bump(self, store: Store, batch: Iterable[Told]) -> list[Read]:
        """Bump what the events name; raises `BackendError`, since what fails is not owed but
        kept. Returns what they were understood to be."""
        connection, prefix = connections[self.using], config().PREFIX
        found = [
            Read(number, *told(payload, source, connection))
            for number, _, source, payload in batch
        ]
        events = [read.event for read in found if read.event is not None]
        keys = dict.fromkeys(tag_key(prefix, tag) for event in events for tag in event.tags)
        if keys:
            store.call("relay", store.backend.delete, list(keys))
        return found

    def forget_old(self) -> int:
        """Delete a batch of what is kept no longer, whoever delivered it; returns how many."""
        # What is parked is for somebody to look at.
        old = Now() - datetime.timedelta(seconds=config().OUTBOX_RETENTION_SECONDS)
        everybodys = Row._base_manager.using(self.using)
        ids = everybodys.filter(delivered_at__lt=old, error="").order_by("delivered_at", "id")
        found = list(ids.values_list("id", flat=True)[: 2 * BATCH])
        if found:
            everybodys.filter(id__in=sorted(found)).delete()
        return len(found)

    def _bump_and_mark(self, store: Store, batch: Sequence[Told]) -> list[int]:
        if not batch:
            return []
        prefix = config().PREFIX
        tokens = sorted({token for _, token, _, _ in batch if token})
        keys = [mark_key(prefix, token) for token in tokens]
        marks = store.call("read marks", store.backend.get_many, keys) if keys else []
        done = {token for token, mark in zip(tokens, marks, strict=True) if mark is not None}
        started = time.perf_counter()
        bumped = self.bump(store, [event for event in batch if event[1] not in done])
        events = [read.event for read in bumped if read.event is not None]
        tell(events, time.perf_counter() - started, delivered=True)
        ids = [event for event, *_ in batch]
        self._all().filter(id__in=ids).update(delivered_at=Now())
        for read in bumped:
            if read.error:
                self._park(read)
        return ids

    def _park(self, read: Read) -> None:
        """Say in the table what is wrong with an event, and keep it."""
        emit(ErrorEvent("relay", "malformed", read.error))
        self._all().filter(id=read.id).update(error=read.error[:300])

    def _all(self) -> QuerySet[Row]:
        return Row.ours(self.using)


def _as_told(events: QuerySet[Row]) -> list[Told]:
    text = Cast("payload", TextField())
    return list(events.values_list("id", "token", "source", text)[:BATCH])
