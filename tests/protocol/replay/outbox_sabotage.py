"""The mutations of the outbox, made to the real code; see `sabotage.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import msgspec
from django.db import connection, transaction
from django.db.models.functions import Now

from cachepatterns.backends.base import Moment, Reading
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.write import dispatch, events, outbox
from cachepatterns.write.delivery import Delivery
from cachepatterns.write.events import Events
from tests.protocol.replay.relays import mark
from tests.protocol.replay.tampering import Sabotage, replaced


@contextmanager
def lease_unchecked() -> Iterator[None]:
    read = RedisBackend.read

    def always_leased(self: RedisBackend, *args: Any) -> Reading:
        return msgspec.structs.replace(read(self, *args), leased=True)

    with patch.object(RedisBackend, "read", always_leased):
        yield


@contextmanager
def lease_from_now() -> Iterator[None]:
    lease = RedisBackend.lease

    def counted_anew(self: RedisBackend, key: str, since: Moment, seconds: float) -> bool:
        return lease(self, key, replace(since, at=self.moment().at), seconds)

    with patch.object(RedisBackend, "lease", counted_anew):
        yield


@contextmanager
def time_asked_late() -> Iterator[None]:
    ask, deliver = Events._waiting, Delivery.round

    def outbox_first(self: Delivery) -> Any:
        waiting = ask(Events(self.using))
        with patch.object(Events, "_waiting", lambda self: waiting):
            return deliver(self)

    with patch.object(Delivery, "round", outbox_first):
        yield


@contextmanager
def marked_first() -> Iterator[None]:
    def mark_then_bump(self: Events, store: Any) -> list[int]:
        wanted = self._all().filter(delivered_at=None).order_by("id")
        with transaction.atomic(using=self.using):
            batch = events._as_told(wanted.select_for_update(skip_locked=True))
            ids = [event for event, *_ in batch]
            if ids:
                self._all().filter(id__in=ids).update(delivered_at=Now())
        if batch:
            keys = [mark(token) for _, token, _, _ in batch]
            marks = store.call("read marks", store.backend.get_many, keys)
            self.bump(store, [e for e, done in zip(batch, marks, strict=True) if not done])
        return ids

    with patch.object(Events, "_deliver_batch", mark_then_bump):
        yield


@contextmanager
def recorded_late() -> Iterator[None]:
    write, deliver = outbox.write, dispatch.deliver

    def record_and_deliver(found: list[Any], fence: Any) -> None:
        for event in found:
            write(connection, event, fence.token)
        deliver(found, fence)

    with (
        patch.object(outbox, "write", lambda *args: None),
        patch.object(dispatch, "deliver", record_and_deliver),
    ):
        yield


@contextmanager
def marked_early() -> Iterator[None]:
    write = outbox.write

    def and_mark(found: Any, event: Any, token: str, pending: Any = None) -> None:
        write(found, event, token, pending)
        RedisBackend("default")._client().set(mark(token), "1")

    with patch.object(outbox, "write", and_mark):
        yield


OUTBOX_SABOTAGES: Mapping[str, tuple[str, Sabotage]] = {
    "the lease is not looked at": ("`Backend.read` says that it stands", lease_unchecked),
    "the lease counts from its renewal": ("`Backend.lease` asks for the time", lease_from_now),
    "the time is asked for after the outbox": ("`Delivery.round` asks so", time_asked_late),
    "what another relay holds counts as delivered": (
        "`Events` does not ask what is left",
        replaced(Events, "_are_any_waiting", lambda self, ids: False),
    ),
    "a relay marks before it bumps": ("`Events` commits its UPDATE first", marked_first),
    "the event is recorded after the COMMIT": ("`deliver` records it", recorded_late),
    "the mark is left before the COMMIT": ("`outbox.write` leaves it", marked_early),
    "no outbox, and an eventual writer dies": ("nothing: `OUTBOX = False`", nullcontext),
}
