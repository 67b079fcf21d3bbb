"""Which server a connection talks to: its ``run_id``, asked once per connection.

After a restart or a failover, registrations may be lost, and an old stamp may stand again
whose deletion never reached the replica that is primary now. So whatever was registered on
another incarnation is not trusted, and a pooled connection must know its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

RUN_ID_LENGTH = 16


class Incarnation:
    """The run id of the server behind one connection; forgotten when it reconnects."""

    def __init__(self, connection: Any) -> None:
        self.run = ""
        # Kept weakly by the connection, so it must be held there by us.
        connection.register_connect_callback(self.forget)

    def forget(self, connection: Any) -> None:
        self.run = ""

    def ask(self, connection: Any) -> str:
        connection.send_command("INFO", "server")
        try:
            said = connection.read_response()
        except redis.exceptions.NoPermissionError:
            # Without the right to ask, restarts are noticed by the guards they lose.
            self.run = "unknown"
            return self.run
        text = said.decode() if isinstance(said, bytes) else str(said)
        for line in text.splitlines():
            if line.startswith("run_id:"):
                self.run = line.removeprefix("run_id:").strip()[:RUN_ID_LENGTH]
                return self.run
        raise redis.ResponseError("INFO server names no run_id")


@contextmanager
def held_connection(client: Any) -> Iterator[tuple[Any, str]]:
    """A connection of the client's own pool, and the run id of its server.

    The pool reconnects what has gone stale; a connection on which anything goes wrong is
    closed, so that no answer is ever read by the wrong question.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        known = connection.__dict__.get("_cachepatterns")
        if known is None:
            known = connection._cachepatterns = Incarnation(connection)
        yield connection, known.run or known.ask(connection)
    except redis.ResponseError:
        raise  # an answer, if an unwelcome one: the connection is in order
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
