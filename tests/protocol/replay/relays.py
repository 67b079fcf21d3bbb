"""The relay as an actor: which of its calls and statements is which step of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import connection

from cachepatterns.backends.base import Moment
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key, mark_key, replayed_key
from cachepatterns.models import InvalidationEvent
from cachepatterns.transactions import database_id
from cachepatterns.write.delivery import Delivery
from tests.protocol.moves import RELAYS, Point
from tests.protocol.replay.actors import Actor

TABLE = InvalidationEvent._meta.db_table
CALLS = {
    "moment": Point.CLOCK,
    "get_many": Point.MARKS,
    "delete": Point.BUMP,
    "store": Point.NOTE,
    "lease": Point.LEASE,
}
"""A backend's calls, made by a relay."""


def is_relay(actor: Actor) -> bool:
    return actor.name in RELAYS


def one_round(actor: Actor) -> Any:
    return Delivery("default").round()


def called(actor: Actor, name: str, args: tuple[Any, ...]) -> Point | None:
    """The step that a call is; `None` if it belongs to the one before it."""
    point = CALLS[name]
    if point is Point.MARKS and args[0] == [keys().replayed]:
        return Point.REPLAYED
    if point is Point.BUMP and Point.REPLAY in actor.passed:
        return None
    return point


def asked(actor: Actor, sql: str) -> Point | None:
    """The step that a statement about the outbox is."""
    if sql.startswith("UPDATE"):
        return Point.DELIVERED
    if "FOR UPDATE" in sql:
        return Point.TAKE
    if Point.REPLAYED in actor.passed:
        return None if Point.REPLAY in actor.passed else Point.REPLAY
    return Point.LEFT if Point.LOOK in actor.passed else Point.LOOK


def aged(actor: Actor, since: Moment) -> Moment:
    """When it asked for the time, by a clock that the replay has put forward since."""
    return replace(since, at=since.at - actor.notes.get("aged", 0.0))


class Keys:
    """What Redis holds about the outbox of `default`."""

    def __init__(self) -> None:
        prefix, database = config().PREFIX, database_id(connection)
        self.lease = lease_key(prefix, database)
        self.replayed = replayed_key(prefix, database)


def keys() -> Keys:
    return Keys()


def mark(token: str) -> str:
    return mark_key(config().PREFIX, token)


def delivered() -> tuple[bool, ...]:
    """Of each event that is committed, the oldest first, whether it says that it is delivered."""
    found = InvalidationEvent._base_manager.order_by("id").values_list("delivered_at", flat=True)
    return tuple(at is not None for at in found)


def forget_events() -> None:
    InvalidationEvent._base_manager.all().delete()
