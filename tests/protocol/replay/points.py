"""The points of the real code: where its calls are the model's steps.

Nothing in the product knows of them. Each is a call that the code makes anyway, to its store, to
the database or to another reader's load; the replay stands in between.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import connection
from django.test import override_settings

from cachepatterns.backends import store as store_module
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store
from cachepatterns.conf import config
from cachepatterns.read import claim, loading
from cachepatterns.read.flight import Flights
from cachepatterns.write import dispatch
from cachepatterns.write import fence as fences
from tests.protocol.moves import WRITERS, Point
from tests.protocol.mutations import EVENTUAL
from tests.protocol.replay import relays
from tests.protocol.replay.actors import Actor, acting
from tests.protocol.replay.places import LIFE, Server
from tests.protocol.setting import Setting

END = "end of the user's block"
"""Where a transaction may still be rolled back: no step of the model, but before its COMMIT."""

POINTS: Mapping[Point, str] = {
    Point.LOOKUP: "Backend.read",
    Point.MINT: "Backend.mint",
    Point.TEND: "Backend.tend",
    Point.SHARE: "Flights.wait",
    Point.QUERY: "SELECT, through Django's cursor",
    Point.SET: "Backend.store",
    Point.UPDATE: "UPDATE in a transaction, through Django's cursor",
    Point.FENCE: "Backend.fence",
    Point.RENEW: "Backend.fence(renew=True), by the background thread",
    Point.STATEMENT: "UPDATE in autocommit, through Django's cursor",
    Point.COMMIT: "BaseDatabaseWrapper._commit",
    Point.ROLLBACK: "an exception in the transaction; an UPDATE that the database refuses",
    Point.RELEASE: "Backend.release",
    Point.EVENT: "INSERT into the outbox, through Django's cursor",
    Point.CLOCK: "Backend.moment",
    Point.LOOK: "SELECT of what is not delivered",
    Point.TAKE: "SELECT … FOR UPDATE SKIP LOCKED",
    Point.MARKS: "Backend.get_many of the marks",
    Point.BUMP: "Backend.delete, by a relay",
    Point.DELIVERED: "UPDATE of the events, and COMMIT",
    Point.LEFT: "SELECT of what is left",
    Point.REPLAYED: "Backend.get_many of the incarnation that was replayed for",
    Point.REPLAY: "SELECT of all events, Backend.delete",
    Point.NOTE: "Backend.store, by a relay",
    Point.LEASE: "Backend.lease",
}
"""What the code does at each step of a reader, a writer or a relay."""

FAULTS: Mapping[Point, str] = {
    Point.CRASH: "the thread stands still for ever; pg_terminate_backend",
    Point.AWAY: "the port is closed to which the writer's FENCE goes",
    Point.UNFENCED: 'the same, with `ON_REDIS_ERROR = "database"`',
    Point.UNKNOWN: "the client's socket is exchanged for a dead one while it commits",
    Point.REACHED: "what the client had sent arrives over the old socket",
    Point.NOT_REACHED: "the old socket is closed",
    Point.TIME: "deadlines in the guard are brought nearer; transactions ended by the database",
    Point.EVICT_GUARD: "DEL",
    Point.EVICT_STAMP: "DEL",
    Point.EVICT_ENTRY: "DEL",
    Point.EVICT_LEASE: "DEL",
    Point.EVICT_MARK: "DEL",
    Point.FLUSH: "FLUSHDB",
    Point.FAILOVER: "a second Valkey: replication cut, promotion, CLIENT KILL",
}
"""How the replay brings about what befalls them."""

RANKS: Mapping[Any, float] = {
    Point.LOOKUP: 0,
    Point.GUARD: 1,
    Point.MINT: 2,
    Point.TEND: 2,
    Point.SHARE: 3,
    Point.QUERY: 3,
    Point.SET: 4,
    Point.RETURN: 5,
    Point.UPDATE: 0,
    Point.FENCE: 1,
    Point.AWAY: 1,
    Point.UNFENCED: 1,
    Point.EVENT: 2,
    Point.EARLY_MARK: 2,
    END: 3,
    Point.EARLY_RELEASE: 4,
    Point.STATEMENT: 5,
    Point.COMMIT: 5,
    Point.RELEASE: 6,
    Point.CLOCK: 0,
    Point.LOOK: 1,
    Point.TAKE: 2,
    Point.MARKS: 3,
    Point.BUMP: 4,
    Point.DELIVERED: 5,
    Point.LEFT: 6,
    Point.REPLAYED: 7,
    Point.REPLAY: 8,
    Point.NOTE: 9,
    Point.LEASE: 10,
}
"""The order in which an actor passes its points."""


CALLS = {
    "read": Point.LOOKUP,
    "mint": Point.MINT,
    "tend": Point.TEND,
    "store": Point.SET,
    "fence": Point.FENCE,
    "fence_ahead": Point.FENCE,
    "release": Point.RELEASE,
    "delete": Point.RELEASE,  # of an eventual writer, without an outbox
}
"""The calls of a backend that are steps."""


class HeldBackend:
    """The backend of one actor: each of these calls is held first."""

    def __init__(self, actor: Actor, server: Server) -> None:
        self._actor, self._server = actor, server

    def __getattr__(self, name: str) -> Any:
        if relays.is_relay(self._actor):
            return partial(self._relayed, name)
        return partial(self._held, name) if name in CALLS else getattr(self._server.backend, name)

    def _relayed(self, name: str, *args: Any, **kwargs: Any) -> Any:
        point = relays.called(self._actor, name, args)
        if point is not None:
            self._actor.reach(point)
        if point is Point.LEASE:
            key, since, *rest = args
            args = (key, relays.aged(self._actor, since), *rest)
        return getattr(self._server.backend, name)(*args, **kwargs)

    def _held(self, name: str, *args: Any, **kwargs: Any) -> Any:
        actor, point = self._actor, CALLS[name]
        if actor.notes.get("settling"):  # once more, since the first did not arrive: one step
            return getattr(self._server.backend, name)(*args, **kwargs)
        if point is Point.FENCE or name == "release":
            actor.notes["token"] = args[0]
        if point is Point.RELEASE and not {Point.COMMIT, Point.STATEMENT} & set(actor.passed):
            point = Point.EARLY_RELEASE
        actor.reach(point)
        # Asked now: it may be another one than before.
        away = actor.notes.pop("away", False)
        backend = RedisBackend("away") if away else self._server.backend
        if name == "fence_ahead":  # carried out when it is sent: the answer changes nothing
            alone = backend.fence_ahead(*args, **kwargs)()
            return lambda: alone
        answer = getattr(backend, name)(*args, **kwargs)
        # What is sent and not waited for is done before anybody looks.
        actor.notes["settling"] = True
        backend.settle()
        actor.notes["settling"] = False
        return answer


class Stores:
    """In place of the process's store: each actor has one of its own, as if it were a process
    of its own. Nobody but the dead writer himself could pay what he owes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._nobodys = Store(server.backend, clock=_leaping())

    def __getattr__(self, name: str) -> Any:
        actor = acting()
        if actor is None:
            self._nobodys.backend = self._server.backend
            return getattr(self._nobodys, name)
        if "store" not in actor.notes:
            backend: Any = HeldBackend(actor, self._server)
            actor.notes["store"] = Store(backend, clock=_leaping())
        return getattr(actor.notes["store"], name)


def _leaping() -> Callable[[], float]:
    """A clock by which each call is long after the one before: no script is spared."""
    return itertools.count(1.0).__next__


class HeldEvent(threading.Event):
    """What readers wait for who share a load."""

    def wait(self, timeout: float | None = None) -> bool:
        actor = acting()
        if actor is not None:
            actor.reach(Point.SHARE)
        return super().wait(timeout)


class HeldFlights(Flights[bytes]):
    """Loads under way: those who wait for one are held when they have found it."""

    def lead(self, name: Any) -> Any:
        land = super().lead(name)
        if land is not None:
            self._flights[name].done = HeldEvent()
        return land


class OwnFlights:
    """In place of the process's flights: each actor has its own, unless they are to share."""

    def __init__(self, *, shared: bool) -> None:
        self._together = HeldFlights() if shared else None

    def __getattr__(self, name: str) -> Any:
        actor = acting()
        if self._together is not None:
            return getattr(self._together, name)
        if actor is None:
            return getattr(Flights[bytes](), name)
        return getattr(actor.notes.setdefault("flights", Flights()), name)


def hold_connection(actor: Actor) -> None:
    """Open this thread's connection, and hold its statements and its COMMIT."""
    connection.ensure_connection()
    driver = connection.connection
    actor.notes["driver"], actor.notes["pid"] = driver, driver.info.backend_pid
    connection.execute_wrappers.append(_hold_statement)
    commit = connection._commit

    def held_commit() -> None:
        if not relays.is_relay(actor):
            actor.reach(Point.COMMIT)
        commit()

    connection._commit = held_commit


def _hold_statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    actor = acting()
    if actor is not None and relays.TABLE in sql:
        point = relays.asked(actor, sql) if relays.is_relay(actor) else Point.EVENT
        if point is not None:
            actor.reach(point)
    elif actor is not None and '"app_category"' in sql:
        if sql.startswith("SELECT"):
            actor.reach(Point.QUERY)
        elif sql.startswith("UPDATE"):
            actor.reach(Point.UPDATE if connection.in_atomic_block else Point.STATEMENT)
            refused = actor.notes.pop("refused", "")
            if refused:
                return execute(refused, None, many, context)
    return execute(sql, params, many, context)


class Background:
    """What the background thread would do, done when the replay says so."""

    def __init__(self) -> None:
        self._release_abandoned = fences._release_abandoned
        self._abandoned: dict[str, Any] = {}

    def renew(self, actor: Actor) -> None:
        for fence in list(fences._open):
            if fence.token == actor.notes.get("token"):
                fence.renew()

    def release_abandoned(self, actor: Actor) -> None:
        """What this writer's transaction had registered, if it had."""
        while not fences._abandoned.empty():
            token, guards = fences._abandoned.get()
            self._abandoned[token] = guards
        token = actor.notes.get("token")
        if token in self._abandoned:
            fences._abandoned.put((token, self._abandoned.pop(token)))
            self._release_abandoned(timeout=1.0)


@contextmanager
def held(server: Server, setting: Setting, *, sharing: bool) -> Iterator[Background]:
    """The points are in force; time stands still; the background thread does nothing itself."""
    nowhere = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    wanted = {
        **settings.CACHEPATTERNS,
        "FENCE_SECONDS": LIFE,
        "BREAKER_SECONDS": 0,
        "ON_REDIS_ERROR": "refuse",
    }
    if setting.protocol.outbox:
        lease = LIFE / setting.protocol.life * setting.protocol.lease
        wanted |= {"OUTBOX": True, "LEASE_SECONDS": lease, "ON_REDIS_ERROR": "database"}
    background = Background()
    with ExitStack() as stack:
        caches = {**settings.CACHES, "away": nowhere}
        stack.enter_context(override_settings(CACHEPATTERNS=wanted, CACHES=caches))
        stores = Stores(server)
        stack.enter_context(patch.dict(store_module._stores, {config().ALIAS: stores}))
        stack.enter_context(patch.object(loading, "flights", OwnFlights(shared=sharing)))
        # Who waits for a claim looks up anew, and who gets one begins anew: no step of its own.
        stack.enter_context(patch.object(claim, "is_worth_it", lambda *args: False))
        stack.enter_context(patch.object(fences, "_abandoned", SimpleQueue()))
        stack.enter_context(patch.object(fences, "_held", list))
        stack.enter_context(patch.object(fences, "_release_abandoned", _rest))
        stack.enter_context(patch.object(dispatch, "is_strict", partial(_is_strict, setting)))
        yield background


def _is_strict(setting: Setting, label: str) -> bool:
    """One writer's policy may be eventual, and the other's not."""
    actor = acting()
    if actor is None or actor.name not in WRITERS:
        return True
    return setting.kinds[WRITERS.index(actor.name)] != EVENTUAL


def _rest(timeout: float) -> None:
    time.sleep(timeout)
