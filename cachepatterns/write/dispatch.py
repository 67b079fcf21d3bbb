"""The whole write, on one page.

1. A write is seen by the execute wrapper: row by row, with old and new values, where Django's
   own statements tell them, else table by table.
2. Inside a transaction, its tags are worked out at once and *fenced* before the COMMIT: from
   then on no reader serves or stores what rests on them. A statement in autocommit commits
   with its own end, so the model's guard is closed before it runs, and opened, with just the
   tags it touched bumped, when it has.
   With the outbox on, an event is written in the same transaction.
3. After the outermost COMMIT the tags are bumped and the registration is taken back, in one
   script. A rollback is announced by nobody: its registration is released, in the background,
   where the connection is certainly in no transaction any more, and expires elsewhere.

Bumping is idempotent and can only cause misses; when in doubt, bump. Policies that chose
``consistency = "eventual"`` skip the fence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial

from django.db import DataError, IntegrityError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import structs

from cachepatterns import around
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import tag_keys
from cachepatterns.core.tag import label_of
from cachepatterns.exceptions import ConfigurationError, WriteRefused
from cachepatterns.observe import BurstLog, InvalidationEvent, emit
from cachepatterns.registry import find_model, site
from cachepatterns.signals import invalidated
from cachepatterns.transactions import (
    PendingWrites,
    begin_now,
    begin_writes,
    doom,
    in_manual_mode,
    in_transaction,
)
from cachepatterns.write import outbox
from cachepatterns.write.fence import Fence
from cachepatterns.write.meanwhile import at_commit

log = BurstLog()

REFUSALS = (IntegrityError, DataError, ProgrammingError)
"""What the database answers when it has not carried out a statement."""


def mark_written(connection: BaseDatabaseWrapper) -> None:
    """From here on, the transaction reads nothing through the cache."""
    if in_transaction(connection):
        begin_writes(connection, deliver)


@contextmanager
def statement_fence(
    connection: BaseDatabaseWrapper,
    model_tags: Iterable[str],
    *,
    may_begin: bool = True,
    are_all: bool = False,
    only: Callable[[], Iterable[str]] = tuple,
    ahead: Fence | None = None,
) -> Iterator[Fence | None]:
    """Around a statement that may commit by itself: keep readers away while it runs.

    With the outbox on, the statement and its event are made one transaction instead (unless
    it is none that may run in one), and `record` does what it does in any other.

    Yields what to give to `record`. `model_tags` are those of the models it may write, and
    ``#`` if rules may follow; with `are_all` these tags are all that it may touch, and no others
    are kept from readers. `only` tells the tags of the rows that it may write at most, if that is
    known of one of the models. `ahead` is what was registered ahead for all of this, if anything
    was (`write.ahead`): then none of the others is looked at. Does nothing inside a transaction.
    Only the database's own refusal proves that nothing was written; after any other exception (a
    lost connection, an interrupt) the registration is left to expire, and its purge bumps the
    model tags.
    """
    if in_transaction(connection):
        yield None
        return
    if ahead is not None:
        fence = ahead
        try:
            fence.stand()
        except BaseException:
            fence.abandon(is_over=False)  # else it would be renewed for as long as the error lives
            raise
    else:
        if may_begin and outbox.is_on(connection) and outbox.can_begin(connection):
            with outbox.own_transaction(connection):
                yield None
            return
        strict = [name for name in model_tags if is_strict(label_of(name))]
        if not strict:
            yield None
            return
        fence = Fence()
        if are_all:
            fence.add(strict)
        else:
            fence.add_everything(strict, only())
    try:
        yield fence
    except REFUSALS:
        fence.release(())
        raise
    except BaseException:
        # The error keeps the frames that it has passed, and they the fence: who keeps the
        # error must not keep the model's readers away.
        fence.abandon(is_over=False)
        raise
    if not fence.is_released:  # with a bump
        fence.release(())


def record(
    connection: BaseDatabaseWrapper, event: InvalidationEvent, fence: Fence | None = None
) -> None:
    """Have the event's tags bumped once what was written is committed.

    `fence` is the `statement_fence` that the caller holds, to be released with the bump.
    Raises `WriteRefused` where the registration fails and that is the policy.
    """
    records = outbox.is_on(connection)
    if not in_transaction(connection):  # asked anew: one may have been begun by hand meanwhile
        if records:
            fence = _record_committed(connection, event, fence)
        deliver([event], fence)
        return
    pending = begin_writes(connection, deliver)
    pending.events.append(event)
    strict = any(map(is_strict, event.labels))
    if pending.fence is None and (strict or records):
        pending.fence = Fence()
    if strict:
        begin_now(connection)
        try:
            pending.fence.add(event.tags)
        except WriteRefused:
            doom(connection)  # who catches it must not commit the write all the same
            raise
        if config().SHORTCUTS:
            at_commit(connection, partial(_prepare, pending))
    if records:
        pending.fence.leaves_mark = True
        # Where Redis is away, or the user commits by hand, no bump of ours may follow: the
        # relays are woken at the COMMIT.
        alone = pending.fence.is_missed or in_manual_mode(connection)
        outbox.write(connection, event, "" if alone else pending.fence.token, pending)


def _record_committed(
    connection: BaseDatabaseWrapper, event: InvalidationEvent, fence: Fence | None
) -> Fence:
    """Record what is committed already. Never raises: the write has happened."""
    fence = fence or Fence()
    # SQLite commits a statement when its rows are fetched, which may be after our bump: that
    # spares the relays nothing.
    fence.leaves_mark = connection.vendor != "sqlite"
    try:
        outbox.write(connection, event, fence.token if fence.leaves_mark else "")
    except Exception as error:
        log.log("cachepatterns could not record a write in the outbox: %s", error, exc_info=True)
    return fence


def is_strict(label: str) -> bool:
    """Whether writes to the model register before they commit."""
    return _is_strict(label, site.generation)


@lru_cache(maxsize=1024)
def _is_strict(label: str, generation: int) -> bool:
    model = None if label.startswith("#") else find_model(label)
    policy = site.policy_for(model) if model is not None else None
    return policy is None or policy.is_strict


def deliver(events: Iterable[InvalidationEvent], fence: Fence | None = None) -> None:
    """Bump the tags of `events`, and release the fence. Never raises: the write has happened."""
    events = list(events)
    if not events:
        if fence is not None:
            fence.release(())
        return
    tags = _tags(events)
    started = time.perf_counter()

    def bump() -> bool:
        if fence is not None:
            return fence.release(tags)
        return current_store().bump(tag_keys(config().PREFIX, tags))

    try:
        if around.hooks:
            labels = sorted({label for event in events for label in event.labels})
            operation = around.Operation(
                name="invalidate",
                label=",".join(labels),
                keys=len(tags),
                source=",".join(sorted({event.source for event in events})),
            )
            delivered = around.run(operation, bump)
        else:
            delivered = bump()
    except ConfigurationError as error:
        log.log("cachepatterns can not invalidate: %s", error)
        return
    tell(events, time.perf_counter() - started, delivered)
    for call in _after_delivery:
        call(events, delivered)


def _tags(events: Sequence[InvalidationEvent]) -> Sequence[str]:
    """The tags of all of them, each once."""
    if len(events) == 1:
        return events[0].tags
    return tuple(dict.fromkeys(tag for event in events for tag in event.tags))


def _prepare(pending: PendingWrites) -> None:
    """Make the release ready while the database commits."""
    if pending.fence is not None and pending.events:
        pending.fence.prepare(_tags(pending.events))


_after_delivery: list[Callable[[Sequence[InvalidationEvent], bool], None]] = []


def after_delivery(call: Callable[[Sequence[InvalidationEvent], bool], None]) -> None:
    """Have `call` called, which must not raise, when events of this process were bumped; with
    whether they were. It runs after the outermost COMMIT, before the users' own hooks."""
    if call not in _after_delivery:
        _after_delivery.append(call)


def tell(events: Iterable[InvalidationEvent], seconds: float, delivered: bool) -> None:
    """Tell everybody who listens what was bumped."""
    for event in events:
        emit(structs.replace(event, seconds=seconds, delivered=delivered, rows=()))
        if not invalidated.receivers:
            continue
        for receiver, answer in invalidated.send_robust(
            sender=None,
            tags=frozenset(event.tags),
            labels=frozenset(event.labels),
            source=event.source,
            using=event.using,
            delivered=delivered,
        ):
            if isinstance(answer, Exception):
                log.log("A receiver of `invalidated` failed: %r: %r", receiver, answer)
