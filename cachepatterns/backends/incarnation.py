"""Which server a connection talks to: its incarnation, asked per connection.

After a restart or a failover, registrations may be lost, and an old stamp may stand again
whose deletion never reached the replica that is primary now. So whatever was registered on
another incarnation is not trusted, and a pooled connection must know its own.

``run_id`` is new at every start, ``master_replid`` at every promotion: a failback to a server
that kept running brings its run id back, but not its replication's.
"""

from __future__ import annotations

import time
from typing import Any

import redis

from cachepatterns.backends import awaited

ID_LENGTH = 12
"""Characters kept of each of the two ids."""

ASK_AGAIN_SECONDS = 2.0
DOUBT_SECONDS = 0.1
"""The same where something says that it may have become another one."""


class Incarnation:
    """The incarnation of the server behind one connection; forgotten when it reconnects.

    And asked again now and then: a primary changes its ``master_replid`` while it runs when it
    gets its first replica, or has had none for long. Connections that were made before and after
    would disagree for ever, and each would take the other's guards for a lost server's. Who
    meets a guard of another incarnation asks again at once (`Lines.doubt`).
    """

    def __init__(self, connection: Any) -> None:
        self.run = ""
        self._asked_at = 0.0
        # Kept weakly by the connection, so it must be held there by us.
        connection.register_connect_callback(self.forget)

    def forget(self, connection: Any) -> None:
        self.run = ""
        awaited.forget(connection)

    def recent(self, doubted_at: float = 0.0) -> str:
        """The incarnation as it was said to be a moment ago; empty if it has to be asked."""
        patience = ASK_AGAIN_SECONDS if doubted_at <= self._asked_at else DOUBT_SECONDS
        return self.run if time.monotonic() - self._asked_at < patience else ""

    def current(self, connection: Any, doubted_at: float = 0.0) -> str:
        """The same, asked if it has to be; the connection stands."""
        return self.recent(doubted_at) or self.ask(connection)

    def ask(self, connection: Any) -> str:
        self.run = ""  # until it is known
        self._asked_at = time.monotonic()
        try:
            said = {
                **_info(connection, "server"),
                **_info(connection, "replication"),
            }
        except redis.exceptions.NoPermissionError:
            # Without the right to ask, restarts are noticed by the guards they lose.
            self.run = "unknown"
            return self.run
        run, replication = said.get("run_id", ""), said.get("master_replid", "")
        if not run:
            raise redis.ResponseError("INFO server names no run_id")
        self.run = run[:ID_LENGTH] + replication[:ID_LENGTH]
        return self.run


def _info(connection: Any, section: str) -> dict[str, str]:
    connection.send_command("INFO", section)
    answer = connection.read_response()
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    pairs = (line.strip().partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
