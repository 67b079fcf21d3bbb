"""What a relay waits at: until somebody commits an event, stops the relay, or time is up."""

from __future__ import annotations

import contextlib
import selectors
import socket
from typing import Any

from django.db import connections

CHANNEL = "cachepatterns"
"""What the trigger of the outbox notifies."""


class Bell:
    """Rung by PostgreSQL's NOTIFY, where there is one, and by `ring`, from any thread or signal
    handler. Elsewhere relays poll."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._heard, self._rope = socket.socketpair()
        self._heard.setblocking(False)
        self._rope.setblocking(False)
        self._driver: Any = None
        self._notified = False

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already
            self._rope.send(b"!")

    def listen(self) -> None:
        """Listen on the connection as it is now; again after each reconnect."""
        connection = connections[self.using]
        if connection.vendor != "postgresql":
            return
        connection.ensure_connection()
        driver: Any = connection.connection
        if driver is self._driver:
            return
        # Before LISTEN: what comes with another statement's answer goes to the handler alone.
        driver.add_notify_handler(self._note)
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self._driver, self._notified = driver, True  # what was committed before is not told

    def wait(self, seconds: float) -> None:
        """Return when it has been rung, or after `seconds`."""
        if not self._notified:
            with selectors.DefaultSelector() as selector:
                selector.register(self._heard, selectors.EVENT_READ)
                if self._driver is not None and not self._driver.closed:
                    selector.register(self._driver.pgconn.socket, selectors.EVENT_READ)
                selector.select(seconds)
        self._notified = False
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096)
        self._take_notes()

    def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None and not driver.closed:
            driver.remove_notify_handler(self._note)
            with contextlib.suppress(Exception), driver.cursor() as cursor:
                cursor.execute(f"UNLISTEN {CHANNEL}")  # it may go back to a pool
        self._heard.close()
        self._rope.close()

    def _note(self, note: Any) -> None:
        self._notified = True

    def _take_notes(self) -> None:
        """Read what the server has sent, so that the socket is quiet again. A connection that
        turns out to be broken is found out by the next statement."""
        if self._driver is None:
            return
        with contextlib.suppress(Exception):
            pgconn = self._driver.pgconn
            pgconn.consume_input()
            while pgconn.notifies():
                pass
