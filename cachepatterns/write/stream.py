"""The stream of other services: what they have changed, by one XADD each, bumped by the relays.

The relays of a database are one consumer group, so each entry is dealt with once for each
database. It is bumped before it is acknowledged: what a relay that died was given, another one
takes over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connections

from cachepatterns.backends.base import Moment, StreamEntry
from cachepatterns.backends.store import Store
from cachepatterns.conf import config
from cachepatterns.core.key import stream_key, tag_key
from cachepatterns.observe import ErrorEvent, emit
from cachepatterns.transactions import database_id
from cachepatterns.write.dispatch import tell
from cachepatterns.write.payloads import told

BATCH = 500
TAKE_OVER_SECONDS = 10.0
"""How long a relay may take over what it was given before another one takes it."""
PARKED = 1000
"""How many malformed entries are kept, the newest."""


class Stream:
    """The stream, as the relays of one database read it."""

    def __init__(self, using: str, name: str) -> None:
        self._using = using
        self._name = name

    def deliver(self, store: Store) -> int:
        """Bump a batch of what is there; returns how many entries it had. Raises
        `BackendError`: what was not acknowledged is given out again."""
        key = stream_key(config().PREFIX)
        entries = store.call(
            "read the stream",
            store.backend.take_events,
            key,
            self._group(),
            self._name,
            count=BATCH,
            idle=TAKE_OVER_SECONDS,
        )
        if entries:
            self._bump(store, entries)
            ids = [number for number, _ in entries]
            store.call("acknowledge", store.backend.settle_events, key, self._group(), ids)
        return len(entries)

    def forget_old(self, store: Store, now: Moment) -> None:
        """Delete what every database's relays were given long ago."""
        before = now.at - config().OUTBOX_RETENTION_SECONDS
        key = stream_key(config().PREFIX)
        store.call("trim the stream", store.backend.forget_events, key, before)

    def _group(self) -> str:
        return f"relays:{database_id(connections[self._using])}"

    def _bump(self, store: Store, entries: Sequence[StreamEntry]) -> None:
        started, prefix, events = time.perf_counter(), config().PREFIX, []
        for number, given in entries:
            payload, source = given.get("payload", "null"), given.get("source", "")[:100]
            event, error = told(payload, source, connections[self._using])
            if event is not None:
                events.append(event)
            if error:
                emit(ErrorEvent("stream", "malformed", error))
                parked = {"id": number, "source": source, "payload": payload, "error": error}
                key = stream_key(prefix, "malformed")
                store.call("park", store.backend.park_event, key, parked, keep=PARKED)
        keys = dict.fromkeys(tag_key(prefix, tag) for event in events for tag in event.tags)
        if keys:
            store.call("relay", store.backend.delete, list(keys))
        tell(events, time.perf_counter() - started, delivered=True)
