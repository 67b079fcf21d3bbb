"""Tracking: Redis tells this process which keys change, in the order in which they do.

One connection, with RESP3 and ``CLIENT TRACKING ON BCAST``, hears of every key under some
prefixes that is written, deleted, expired or evicted. Answers and messages come in one order, so
when a ``PING`` is answered, everything that had changed before it was sent has been told. That
moment is `Tracking.confirmed_at`: whoever remembers something knows how old it may be at most,
however late this thread runs, and however silently the connection died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
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
    """Another server answers now: what it has forgotten it will not tell."""


class Tracking:
    """Hears of changes in a thread of its own, from `start` until `stop`.

    `connect` makes a connection that speaks RESP3. `changed` is called with the keys that have
    changed, or `None` if all may have; `lost` after every end of a connection. Both run in the
    thread.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        prefixes: Sequence[str],
        *,
        changed: Callable[[Iterable[str] | None], object],
        lost: Callable[[], object],
    ) -> None:
        self.confirmed_at = NEVER
        """The last moment, by `time.monotonic`, of which all changes before it were told."""
        self.beat = AGAIN_SECONDS
        """Seconds between two questions whether all has been heard."""
        self._connect = connect
        self._prefixes = prefixes
        self._changed = changed
        self._lost = lost
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Any = None

    def start(self) -> None:
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
                self.confirmed_at = NEVER
                self._lost()
            self._stopped.wait(AGAIN_SECONDS)

    def _listen(self) -> None:
        connection = self._connection = self._connect()
        try:
            connection.connect()
            connection._get_parser().set_invalidation_push_handler(self._told)
            who = Incarnation(connection)
            run = who.ask(connection)
            sent = time.monotonic()
            words = [word for prefix in self._prefixes for word in ("PREFIX", prefix)]
            connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *words)
            connection.read_response()
            self.confirmed_at = sent
            while not self._stopped.is_set():
                self._hear_until(connection, sent + self.beat)
                if who.current(connection) != run:
                    raise Lost("another server answers, or this one's role has changed")
                sent = time.monotonic()
                connection.send_command("PING")
                connection.read_response()
                self.confirmed_at = sent
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


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key
