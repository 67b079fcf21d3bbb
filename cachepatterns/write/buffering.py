"""Into a buffer, or, where Redis does not take it, straight into the database.

Commands are numbered per thread, so that one whose answer was lost can be sent again and counts
once. If that is lost too, whether it was carried out nobody knows: it is written to the database,
and may then count twice. Nothing is ever dropped.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from cachepatterns.backends.store import Store, counters_store
from cachepatterns.behind import Buffer
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.observe import BurstLog, PatternEvent, emit

log = BurstLog()

INCREMENTS, EVENTS = "increments", "events"
DIRECTLY = "written directly"


class _Writer(threading.local):
    """The name under which this thread puts things, and how many it has put."""

    process = 0
    name = ""
    number = 0

    def next(self) -> tuple[str, int]:
        if self.process != os.getpid():  # a fork's child is another one
            self.process, self.name, self.number = os.getpid(), secrets.token_hex(8), 0
        self.number += 1
        return self.name, self.number


_writer = _Writer()


def put_counts(buffer: Buffer, key: Any, amounts: Mapping[str, int]) -> None:
    """Have `amounts` added to the fields of the row with the primary key `key`."""
    fields = {f"{name}:{key}": amount for name, amount in amounts.items()}

    def put(store: Store) -> None:
        store.call("count", store.backend.put_counts, buffer.key, *_writer.next(), fields)

    def write() -> None:
        rows = buffer.policy.model._base_manager.using(buffer.using).filter(pk=key)
        rows.update(**{name: Coalesce(F(name), Value(0)) + n for name, n in amounts.items()})

    _put(buffer, INCREMENTS, put, write)


def put_event(buffer: Buffer, event: bytes, row: models.Model) -> None:
    """Have `row` inserted, of which `event` tells all."""

    def put(store: Store) -> None:
        store.call("record", store.backend.put_event, buffer.key, *_writer.next(), event)

    def write() -> None:
        row.save(using=buffer.using, force_insert=True)

    _put(buffer, EVENTS, put, write)


def _put(
    buffer: Buffer, what: str, put: Callable[[Store], None], write: Callable[[], None]
) -> None:
    label, reason = buffer.policy.label, "cache failed"
    try:
        put(counters_store())
    except (BackendError, ConfigurationError) as error:
        log.log("%s of %s are written directly: %s", what, label, error)
        reason = getattr(error, "kind", reason)
    else:
        emit(PatternEvent(label, what))
        return
    write()
    emit(PatternEvent(label, f"{what} {DIRECTLY}", reason=reason))
