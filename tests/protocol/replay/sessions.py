"""The database sessions of the actors, and what may happen to them."""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from django.db import connection


def terminate(pid: int) -> None:
    """The database ends a session, as it does with one whose client has died."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def await_end(pid: int) -> None:
    """Wait until the database has noticed that a session's client is gone."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])
            if cursor.fetchone() is None:
                return


class Severed:
    """A session taken from its client: for the client the connection has died, while the
    server has not noticed, and will still get what was on its way."""

    def __init__(self, driver: Any, pid: int) -> None:
        self.pid = pid
        number = driver.pgconn.socket
        self._line = socket.socket(fileno=os.dup(number))
        self._line.settimeout(20)
        dead, peer = socket.socketpair()
        with dead, peer:
            os.dup2(dead.fileno(), number)

    def arrive(self, sql: str) -> None:
        """What was on its way reaches the server, which carries it out."""
        text = sql.encode() + b"\0"
        self._line.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
        answers = b""
        while True:
            kind, length = struct.unpack("!ci", self._exactly(5))
            answers += kind
            self._exactly(length - 4)
            if kind == b"Z":
                break
        assert b"E" not in answers, "the database has refused it"
        self.lose()

    def lose(self) -> None:
        """Nothing reaches the server; it notices that its client is gone."""
        self._line.close()
        await_end(self.pid)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._line.recv(count - len(found))
            assert part, "the server has hung up"
            found += part
        return found
