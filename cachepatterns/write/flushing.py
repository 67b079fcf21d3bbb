"""The flusher: what waits in the buffers, written to the database, each batch exactly once.

::

    take      a batch out of the buffer, under a name of its own      Redis, one script
    note      the name in the table of flushed batches  ┐
    write     one UPDATE, or one INSERT                 ├ one transaction
    COMMIT                                              ┘
    drop      the batch                                               Redis, one script

What must not happen, and why it does not:

* *The flusher is killed, and increments are lost.* What it had taken is an open batch; whoever
  flushes next begins with these.
* *It is killed between COMMIT and drop, and they are written twice.* The name stands in the table;
  whoever finds the batch once more can not note it again, and only drops it.
* *Two flushers find one open batch.* The second waits at the name until the first has committed,
  and then can not note it; or the first has failed, and it can.
* *One stands still for long, with the batch in its memory, and goes on when another has written
  and dropped it.* It can not note the name either, for names are kept for a week.
"""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from cachepatterns.backends.store import Store, counters_store
from cachepatterns.behind import COUNTS, Buffer, buffers
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.models import FlushedBatch
from cachepatterns.observe import BurstLog, ErrorEvent, PatternEvent, emit
from cachepatterns.write.counts import IMPOSSIBLE, Written, write_counts
from cachepatterns.write.eventrows import insert_events

BATCH = 1000
"""Fields, or events, that a batch holds at most."""
KEPT = datetime.timedelta(days=7)
PARKED = 1000
"""How many malformed events are kept, the newest."""
TIDY_SECONDS = 600.0
LONGEST_PAUSE = 1.0

TAKEN, READ, NOTED, WRITTEN, COMMITTED, DROPPED = STEPS = (
    *("taken", "read", "noted", "written", "committed", "dropped"),
)

log = BurstLog()


def reached(step: str) -> None:
    """Called after each of the `STEPS`: where tests kill the flusher."""


@dataclass(kw_only=True, slots=True)
class Flushed:
    """What a flush did. ``taken`` counts what was in the batches, ``failed`` names the models that
    could not be flushed."""

    taken: int = 0
    batches: int = 0
    rows: int = 0
    lost: int = 0
    failed: tuple[str, ...] = ()

    def __iadd__(self, other: Flushed) -> Flushed:
        self.taken += other.taken
        self.batches += other.batches
        self.rows += other.rows
        self.lost += other.lost
        self.failed += other.failed
        return self


class Flusher:
    """Flushes all buffers of this site, each as often as it is declared, on connections of the
    thread that runs it. Any number may run at once."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._token = secrets.token_hex(8)
        self._due: dict[str, float] = {}
        self._tidied = 0.0

    def stop(self) -> None:
        """Have `run` return once the batch at hand is written; from any thread or signal."""
        self._stopping.set()

    def run(self) -> None:
        """Flush until `stop`. Survives whatever fails: what waits is kept, and tried again."""
        try:
            while not self._stopping.wait(self._pause()):
                self.round()
        finally:
            for buffer in buffers():
                connections[buffer.using].close()

    def round(self) -> Flushed:
        """Flush what is due, unless another flusher has a moment ago. Never raises for what a
        server does."""
        done, now = Flushed(), time.monotonic()
        for buffer in buffers():
            if self._due.get(buffer.key, 0.0) <= now and not self._stopping.is_set():
                self._due[buffer.key] = now + buffer.every
                done += self._survived(buffer, self._in_turn)
        return done

    def everything(self) -> Flushed:
        """Flush all there is, whoever else is at it."""
        done = Flushed()
        for buffer in buffers():
            done += self._survived(buffer, self.flush)
        return done

    def flush(self, buffer: Buffer) -> Flushed:
        """Write the batches that others have left, then all that waits; what comes meanwhile waits
        for the next time. Raises `BackendError` and Django's `DatabaseError`; what was not written
        stays."""
        store, done = counters_store(), Flushed()
        for batch in store.call("flush", store.backend.open_batches, buffer.key):
            done += self._settle(store, buffer, batch)
        while not self._stopping.is_set():
            batch = secrets.token_hex(16)
            if not store.call("flush", store.backend.take_batch, buffer.key, batch, BATCH):
                break
            reached(TAKEN)
            settled = self._settle(store, buffer, batch)
            done += settled
            if settled.taken < BATCH:
                break
        return done

    # -- one batch ------------------------------------------------------------------------

    def _settle(self, store: Store, buffer: Buffer, batch: str) -> Flushed:
        """Write a batch unless it is written, and drop it."""
        content = _content(store, buffer, batch)
        reached(READ)
        done, connection = None, connections[buffer.using]
        if not content:
            _vanished(buffer, batch)
        else:
            try:
                done = _write_once(connection, buffer, batch, content, store, each=False)
            except IMPOSSIBLE:
                done = _write_once(connection, buffer, batch, content, store, each=True)
            reached(COMMITTED)
        store.call("flush", store.backend.drop_batch, buffer.key, batch)
        reached(DROPPED)
        told = Flushed() if done is None else _told(buffer, done)
        told.taken = len(content)
        return told

    # -- when -----------------------------------------------------------------------------

    def _pause(self) -> float:
        now = time.monotonic()
        waits = [self._due.get(buffer.key, 0.0) - now for buffer in buffers()]
        return max(0.0, min([LONGEST_PAUSE, *waits]))

    def _in_turn(self, buffer: Buffer) -> Flushed:
        """Flush, unless another one has within the time after which this is due. Who has claimed
        it and dies is replaced when that is over."""
        store = counters_store()
        if not store.claim(f"{buffer.key}:turn", self._token, buffer.every * 0.9):
            return Flushed()
        done = self.flush(buffer)
        self._tidy(buffer)
        return done

    def _tidy(self, buffer: Buffer) -> None:
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self._tidied = time.monotonic()
            forget_old(buffer.using)

    def _survived(self, buffer: Buffer, flush: Callable[[Buffer], Flushed]) -> Flushed:
        try:
            return flush(buffer)
        except (BackendError, ConfigurationError):
            pass  # counted and logged by the store
        except (DatabaseError, InterfaceError) as error:
            _failed(buffer, error)
        except Exception as error:
            _failed(buffer, error)
            log.log("A buffer of %s could not be flushed", buffer.policy.label, exc_info=True)
        return Flushed(failed=(buffer.policy.label,))


def forget_old(using: str, limit: int = 5000) -> int:
    """Delete names that nobody can look for any more; returns how many."""
    noted = FlushedBatch._base_manager.using(using)
    old = noted.filter(created_at__lt=Now() - KEPT).values_list("pk", flat=True)[:limit]
    return noted.filter(pk__in=list(old)).delete()[0]


def _content(store: Store, buffer: Buffer, batch: str) -> dict[str, int] | list[bytes]:
    if buffer.kind == COUNTS:
        return store.call("flush", store.backend.batch_counts, buffer.key, batch)
    return store.call("flush", store.backend.batch_events, buffer.key, batch)


def _write_once(
    connection: BaseDatabaseWrapper,
    buffer: Buffer,
    batch: str,
    content: dict[str, int] | list[bytes],
    store: Store,
    *,
    each: bool,
) -> Written | None:
    """Write the batch, in one transaction with its name; `None` if the name is there already."""
    with transaction.atomic(using=connection.alias, durable=True):
        if not _noted(connection, batch, buffer.policy.label, len(content)):
            return None
        reached(NOTED)
        if isinstance(content, dict):
            done = write_counts(connection, buffer.policy, content, each=each)
        else:

            def park(event: bytes, why: str) -> None:
                entry = {"event": event.decode("utf-8", "replace"), "error": why[:300]}
                key = f"{buffer.key}:malformed"
                store.call("park", store.backend.park_event, key, entry, keep=PARKED)

            done = insert_events(connection, buffer.policy, content, each=each, park=park)
        reached(WRITTEN)
        return done


def _noted(connection: BaseDatabaseWrapper, batch: str, label: str, rows: int) -> bool:
    """Note the batch as written; false where it is noted already."""
    quote, meta = connection.ops.quote_name, FlushedBatch._meta
    verb, end = "INSERT", " ON CONFLICT DO NOTHING"
    if connection.vendor == "mysql":
        verb, end = "INSERT IGNORE", ""
    columns = ", ".join(map(quote, ("batch", "label", "rows")))
    with connection.cursor() as cursor:
        cursor.execute(
            f"{verb} INTO {quote(meta.db_table)} ({columns}) VALUES (%s, %s, %s){end}",
            [batch, label, rows],
        )
        return bool(cursor.rowcount == 1)


def _vanished(buffer: Buffer, batch: str) -> None:
    """A batch that holds nothing was written and dropped by another flusher; or Redis has lost it,
    which it must not: it evicts keys that never expire."""
    if not FlushedBatch._base_manager.using(buffer.using).filter(pk=batch).exists():
        emit(ErrorEvent("flush", "evicted", f"a batch of {buffer.policy.label}"))
        log.log("Redis has lost a batch of %s: does it evict?", buffer.policy.label)


def _told(buffer: Buffer, done: Written) -> Flushed:
    """Count and report what a batch came to."""
    label, what = buffer.policy.label, "increments" if buffer.kind == COUNTS else "events"
    emit(PatternEvent(label, f"batches of {what} written"))
    if done.rows:
        emit(PatternEvent(label, f"rows written by {what}", done.rows))
    for reason, count in done.lost.items():
        emit(PatternEvent(label, f"{what} lost", count, reason))
        log.log("%s %s of %s were lost: %s", count, what, label, reason)
    return Flushed(batches=1, rows=done.rows, lost=sum(done.lost.values()))


def _failed(buffer: Buffer, error: Exception) -> None:
    emit(ErrorEvent("flush", type(error).__name__, str(error)))
    log.log(
        "What waits of %s can not be written to %r: %s", buffer.policy.label, buffer.using, error
    )
    if not connections[buffer.using].in_atomic_block:  # whoever has begun it ends it
        connections[buffer.using].close()
