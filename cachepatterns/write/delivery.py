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
* *Two databases of one name share a lease, and only one of them is empty.* The outboxes of all
  are delivered before it is renewed.
* *Redis has failed over, and lost the newest bumps.* Its incarnation is another one: before
  the first lease there, all events that are kept are bumped again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connections

from cachepatterns.backends.base import Moment
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key, replayed_key
from cachepatterns.observe import BurstLog
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database, database_id
from cachepatterns.write.events import Events
from cachepatterns.write.stream import Stream

_WEEK = 7 * 24 * 3600.0

replays = BurstLog(interval=0.0, level=20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What one round did. ``backlog`` is what was undelivered at its beginning."""

    backlog: int
    delivered: int
    leased: bool


class Delivery:
    """Delivers the events of one database. Nothing is kept between rounds.

    Aliases of one `database_id` share their tags and so their lease, but may lead to several
    databases of one name (shards, schemas). The outboxes of all of them are delivered, `using`'s
    first, and only together are they vouched for.
    """

    def __init__(self, using: str, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.using = using
        self._is_stopping = is_stopping
        self._stream = Stream(using, secrets.token_hex(8))

    def round(self) -> Round:
        """Deliver what is there, and renew the lease if nothing is left.

        Raises `BackendError` where Redis fails: all events are kept; `DatabaseError` where
        a database does.
        """
        store = current_store()
        since = store.call("ask the time", store.backend.moment)
        done = [events.deliver(store, self._is_stopping) for events in self._outboxes()]
        leased = all(part.is_empty for part in done) and self._renew(store, since)
        # After the lease, which vouches for the outbox alone: nothing here may hold it up.
        while self._stream.deliver(store) and not self._is_stopping():
            pass
        return Round(
            backlog=sum(part.backlog for part in done),
            delivered=sum(part.delivered for part in done),
            leased=leased,
        )

    def forget_old(self) -> int:
        """Delete a batch of the events that are kept no longer; returns how many there were."""
        store = current_store()
        self._stream.forget_old(store, store.call("ask the time", store.backend.moment))
        return sum(events.forget_old() for events in self._outboxes())

    def close(self) -> None:
        """Close this thread's connections to what it delivers."""
        for events in self._outboxes():
            connections[events.using].close()

    def _outboxes(self) -> list[Events]:
        database = database_id(connections[self.using])
        aliases = aliases_by_database({self.using, *site.databases()})[database]
        return [Events(alias) for alias in sorted(aliases, key=lambda alias: alias != self.using)]

    # -- the lease ------------------------------------------------------------------------

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
        count = 0
        for events in self._outboxes():
            for batch in events.all_kept():
                if self._is_stopping():
                    return
                events.bump(store, batch)
                count += len(batch)
        if count:
            replays.log("Redis is another one or has restarted: %s events were replayed", count)
