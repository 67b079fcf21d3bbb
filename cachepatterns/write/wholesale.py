"""Imports: writes that are not told row by row, but once, when all of them are done.

From a model's first write in the block on its guard is closed, so readers go to the database;
when the block ends its model tag is bumped and the guard opened, in one script. In between the
statements are Django's own: nothing is appended to them, no tags are worked out, and Redis is not
asked. What must not happen, and why it does not:

* *A reader stores between two statements, and is served that afterwards.* Under a closed guard
  nothing is minted, stored or served, and what was loaded before it rests on the model tag, which
  is bumped before the guard opens.
* *The import raises, or is killed.* What was written counts: raising ends the block like
  anything. Of a process that died the registration expires, and whoever purges it bumps the tag.
* *The process stands still for longer than a registration lives.* The next statement registers
  again before it runs, which bumps what was stored meanwhile.
* *A transaction outlasts the block.* It registers the model tags before the guard is opened, and
  bumps them once more after its COMMIT.
* *The connection breaks at a COMMIT, and the block goes on with another.* Whether that transaction
  is over nobody knows, so the registration is not taken back, but expires.
* *Redis can not be reached, the process dies, and only the database knows.* With the outbox on
  each transaction records the model tags as any other write would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import structs

from cachepatterns.core.sqltext import Kind, Statement
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.transactions import in_transaction, is_idle, pending_writes
from cachepatterns.write import outbox
from cachepatterns.write.changes import closing
from cachepatterns.write.coarse import coarse_event
from cachepatterns.write.dispatch import REFUSALS, record
from cachepatterns.write.fence import Fence

log = BurstLog()


@contextlib.contextmanager
def import_block() -> Iterator[None]:
    """Within this block writes are told as a whole; one within another is part of it."""
    if _block.get() is not None:
        yield
        return
    block = Wholesale()
    token = _block.set(block)
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        _block.reset(token)
        block.end(error)


def wholesale() -> Wholesale | None:
    """The block in which this runs."""
    return _block.get()


class Wholesale:
    """What one block has written, by connection."""

    def __init__(self) -> None:
        self._held: dict[BaseDatabaseWrapper, Held] = {}

    @contextlib.contextmanager
    def around(
        self, connection: BaseDatabaseWrapper, found: Statement, *, may_begin: bool
    ) -> Iterator[None]:
        """Around a writing statement: keep readers away from then on, until the end."""
        held = self._held.setdefault(connection, Held(connection))
        event = held.event_of(found)
        if event is None:
            yield
            return
        held.close(event)
        with contextlib.ExitStack() as stack:
            if outbox.is_on(connection):
                if not in_transaction(connection) and may_begin and outbox.can_begin(connection):
                    stack.enter_context(outbox.own_transaction(connection))
                if in_transaction(connection):
                    held.write_down(event)
            yield

    def end(self, error: BaseException | None) -> None:
        """Bump what was written, and let readers in. `error` is what the block has raised."""
        with contextlib.ExitStack() as stack:  # each of them, whatever becomes of the others
            for held in self._held.values():
                stack.callback(held.end, error)


class Held:
    """What was written on one connection, and the registration that keeps readers away."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._fence = Fence()
        self._driver: Any = None
        self._is_doubtful = False
        """Whether a transaction on an earlier connection to the server may not be over."""
        self._known: dict[tuple[str, frozenset[str]] | None, InvalidationEvent | None] = {}
        self._closed: set[str] = set()
        self._labels: set[str] = set()
        self._tags: set[str] = set()

    def event_of(self, found: Statement) -> InvalidationEvent | None:
        """What `found` may have written, model by model; `None` if nothing that is cached."""
        unknown = found.kind is Kind.UNKNOWN
        key = None if unknown else (found.verb, found.names)
        if key not in self._known:
            try:
                event = coarse_event(self._connection, None if unknown else found)
            except Exception:
                log.log("cachepatterns could not account for a write", exc_info=True)
                return None
            if event is not None:
                event = structs.replace(event, source="import", coarse=False)
            self._known[key] = event
        return self._known[key]

    def close(self, event: InvalidationEvent) -> None:
        """Keep readers away from what the event names, and see that they still are."""
        driver = self._connection.connection
        self._is_doubtful |= self._driver is not None and self._driver is not driver
        self._driver = driver
        # Noted before they are registered: what is not may be written all the same.
        self._labels.update(event.labels)
        self._tags.update(event.tags)
        self._fence.assure()
        if new := closing(event.tags) - self._closed:
            self._fence.add_everything(new)
            self._closed |= new

    def write_down(self, event: InvalidationEvent) -> None:
        """Record the event in the outbox, in the transaction that is about to write."""
        self._fence.leaves_mark = True
        pending = pending_writes(self._connection)
        outbox.write(self._connection, event, self._fence.token, pending)

    def end(self, error: BaseException | None) -> None:
        if not self._tags:
            return
        event = InvalidationEvent(
            labels=tuple(sorted(self._labels)),
            tags=tuple(sorted(self._tags)),
            source="import",
            using=self._connection.alias,
        )
        if in_transaction(self._connection):
            self._hand_over(event)
        elif self._is_settled(error):
            record(self._connection, event, self._fence)
        else:
            self._fence.abandon(is_over=False)
            record(self._connection, event)

    def _hand_over(self, event: InvalidationEvent) -> None:
        """To the transaction, which goes on."""
        # A mark would say that what this transaction has recorded is bumped; it is not yet.
        self._fence.leaves_mark = False
        pending = pending_writes(self._connection)
        if pending is not None:
            pending.recorded.clear()
        try:
            record(self._connection, event)
        except BaseException:
            self._fence.abandon(is_over=False)
            raise
        if self._is_doubtful:
            self._fence.abandon(is_over=False)
        else:
            self._fence.release(event.tags)

    def _is_settled(self, error: BaseException | None) -> bool:
        """Whether no statement of the block can take effect any more."""
        if self._is_doubtful or self._connection.connection is not self._driver:
            return False
        if isinstance(error, REFUSALS):
            return True
        if error is not None and not isinstance(error, Exception):
            return False
        idle = is_idle(self._driver)
        # A driver that can not tell is believed where nothing went wrong.
        return idle is True or (idle is None and error is None and _is_silent(self._driver))


def _is_silent(driver: Any) -> bool:
    return not hasattr(driver, "pgconn")


_block: ContextVar[Wholesale | None] = ContextVar("cachepatterns_wholesale", default=None)
