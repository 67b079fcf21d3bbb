"""Tracking: Redis tells this process which keys change, in the order in which they do.

One connection, with RESP3 and ``CLIENT TRACKING ON BCAST``, hears of every key under some
prefixes that is written, deleted, expired or evicted: those of the models of which something may
be kept, and no others, since each message wakes the process. Answers and messages come in one
order, so when a ``PING`` is answered, everything that had changed before it was sent has been
told. That moment is `Tracking.confirmed_at`: whoever remembers something knows how old it may be
at most, however late this thread runs, and however silently the connection died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any

import redis

from cachepatterns.backends.incarnation import Incarnation
from cachepatterns.observe import BurstLog, ErrorEvent, emit

NEVER = float("-inf")
AGAIN_SECONDS = 1.0
"""Between two attempts to connect."""
SHORTEST_BEAT = 0.02
"""Seconds between two questions whether all has been heard; the least there may be."""

log = BurstLog()


class Lost(Exception):
    """Another server answers now, or over another connection: what it has forgotten, or was never
    asked to tell, it will not tell."""


class Tracking:
    """Hears of changes in a thread of its own, from `start` until `stop`.

    `connect` makes a connection that speaks RESP3. `changed` is called with the keys that have
    changed, or `None` if all may have; `lost` after every end of a connection. Both run in the
    thread.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        changed: Callable[[Iterable[str] | None], object],
        lost: Callable[[], object],
    ) -> None:
        self.confirmed_at = NEVER
        """The last moment, by `time.monotonic`, of which all changes before it were told."""
        self.beat = AGAIN_SECONDS
        """Seconds between two questions whether all has been heard."""
        self.heard: frozenset[str] = frozenset()
        """The prefixes of which all changes are told."""
        self._wanted: frozenset[str] = frozenset()
        self._wanting = threading.Lock()
        self._connect = connect
        self._changed = changed
        self._lost = lost
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Any = None

    def hear_of(self, prefixes: Set[str]) -> None:
        """Have changes of keys under these prefixes told too, from the next beat on: they are
        `heard` then. None may be a part of another."""
        with self._wanting:
            self._wanted |= prefixes

    def start(self) -> None:
        """Begin; by then there must be something to hear of."""
        self._thread = threading.Thread(target=self._run, name="cachepatterns-near", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            connection.disconnect()  # it may be waiting for something to hear
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def beat_within(self, seconds: float) -> None:
        """Ask often enough for those who accept what is `seconds` old."""
        self.beat = max(SHORTEST_BEAT, min(self.beat, seconds / 4))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError, Lost) as error:
                if self._stopped.is_set():
                    return
                emit(ErrorEvent("track", type(error).__name__.lower(), str(error)))
                log.log("cachepatterns lost track of Redis, the near-cache is empty: %s", error)
            except Exception:
                if not self._stopped.is_set():
                    log.log("The near-cache could not listen", exc_info=True)
            finally:
                # Before all is dropped: nothing may be begun then that rests on this connection.
                self.confirmed_at = NEVER
                self.heard = frozenset()
                self._lost()
            self._stopped.wait(AGAIN_SECONDS)

    def _listen(self) -> None:
        connection = self._connection = self._connect()
        try:
            connection.connect()
            asked = connection._sock
            connection._get_parser().set_invalidation_push_handler(self._told)
            who = Incarnation(connection)
            run = who.ask(connection)
            while not self._stopped.is_set():
                if who.current(connection) != run:
                    raise Lost("another server answers, or this one's role has changed")
                sent, wanted = time.monotonic(), self._wanted
                connection.send_command(*_words(wanted - self.heard))
                connection.read_response()
                # redis-py's health check may have connected again by itself.
                if connection._sock is not asked:
                    raise Lost("the connection was made anew, and nothing is told over it")
                self.confirmed_at, self.heard = sent, wanted
                self._hear_until(connection, sent + self.beat)
        finally:
            connection.disconnect()

    def _hear_until(self, connection: Any, moment: float) -> None:
        while not self._stopped.is_set():
            left = moment - time.monotonic()
            if left <= 0:
                return
            if connection.can_read(left):
                connection.read_response(push_request=True)

    def _told(self, message: Any) -> None:
        keys = message[1]
        self._changed(None if keys is None else [_text(key) for key in keys])


def _words(prefixes: Iterable[str]) -> Sequence[str]:
    """The command that has changes under these prefixes told as well, or one that asks nothing."""
    words = [word for prefix in prefixes for word in ("PREFIX", prefix)]
    return ("CLIENT", "TRACKING", "ON", "BCAST", *words) if words else ("PING",)


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key
