"""The whole write, on one page.

1. A write is seen: by the query classes (row by row, with old and new values) or, where
   they say nothing, by the execute wrapper (table by table).
2. Its tags are worked out at once and recorded, inside the same transaction.
3. After the outermost COMMIT, or at once in autocommit, the tags are bumped: their stamps
   are deleted, in one round trip. A rollback bumps nothing.

Bumping is idempotent and can only cause misses; when in doubt, bump.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import tag_key
from cachepatterns.exceptions import ConfigurationError
from cachepatterns.observe import BurstLog, InvalidationEvent, emit
from cachepatterns.signals import invalidated
from cachepatterns.transactions import begin_writes, in_transaction

log = BurstLog()


def mark_written(connection: BaseDatabaseWrapper) -> None:
    """From here on, the transaction reads nothing through the cache."""
    if in_transaction(connection):
        begin_writes(connection, deliver)


def record(connection: BaseDatabaseWrapper, event: InvalidationEvent) -> None:
    """Have the event's tags bumped once what was written is committed.

    In manual transaction mode nobody tells when that is: the tags are bumped now, and
    again when Django runs its commit hooks.
    """
    if not in_transaction(connection):
        deliver([event])
        return
    begin_writes(connection, deliver).events.append(event)
    if not connection.in_atomic_block:
        deliver([event])


def deliver(events: Iterable[InvalidationEvent]) -> None:
    """Bump the tags of `events`. Never raises: the write has happened."""
    events = list(events)
    prefix = config().PREFIX
    tags = {tag for event in events for tag in event.tags}
    if not tags:
        return
    started = time.perf_counter()
    try:
        delivered = current_store().bump(tag_key(prefix, tag) for tag in sorted(tags))
    except ConfigurationError as error:
        log.log("cachepatterns can not invalidate: %s", error)
        return
    seconds = time.perf_counter() - started
    for event in events:
        emit(replace(event, seconds=seconds, delivered=delivered))
        for receiver, answer in invalidated.send_robust(
            sender=None, tags=frozenset(event.tags), source=event.source, using=event.using
        ):
            if isinstance(answer, Exception):
                log.log("A receiver of `invalidated` failed: %r: %r", receiver, answer)
