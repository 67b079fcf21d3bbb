"""Which server a connection talks to: its incarnation, asked once per connection.

After a restart or a failover, registrations may be lost, and an old stamp may stand again
whose deletion never reached the replica that is primary now. So whatever was registered on
another incarnation is not trusted, and a pooled connection must know its own.

``run_id`` is new at every start, ``master_replid`` at every promotion: a failback to a server
that kept running brings its run id back, but not its replication's.
"""

from __future__ import annotations

from typing import Any

import redis

ID_LENGTH = 12
"""Characters kept of each of the two ids."""


class Incarnation:
    """The incarnation of the server behind one connection; forgotten when it reconnects."""

    def __init__(self, connection: Any) -> None:
        self.run = ""
        # Kept weakly by the connection, so it must be held there by us.
        connection.register_connect_callback(self.forget)

    def forget(self, connection: Any) -> None:
        self.run = ""

    def ask(self, connection: Any) -> str:
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
