"""Lines to Redis: connections of the client's own pool, held between commands.

Taking a connection out of redis-py's pool and giving it back costs as much as half a round
trip: locks, metrics, and a poll that asks whether the idle socket still lives. So a line is
kept once it was taken. That its server has closed it meanwhile shows in the first command,
which is then sent once more on a new connection: all that goes over a line may be sent twice
(reads, and scripts that name their registration by its token).

At most a quarter of the pool is held, since the rest of the project lives on it too. Only
redis-py's plain pool is treated so: Sentinel's looks at a connection's server when it is given
back, and is asked for one each time.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

import redis
from hiredis import pack_command

from cachepatterns.backends.incarnation import Incarnation

Words = Sequence[str | bytes | float]


class Lines:
    """The lines of one pool. `call` is all that there is to do with them; thread-safe."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._most = pool.max_connections // 4 if type(pool) is redis.ConnectionPool else 0
        self._idle: deque[Any] = deque()
        self._doubted_at = 0.0
        _all.add(self)

    def call(self, words: Callable[[str], Words]) -> tuple[Any, str]:
        """The answer to a command, and the incarnation of the server that gave it.

        `words` makes the command for a server of the named incarnation. A connection on which
        anything goes wrong is closed, so no answer is ever read by the wrong question.
        """
        connection, is_new = self._take()
        try:
            try:
                return _exchange(connection, words, self._doubted_at)
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                connection.disconnect()
                if is_new:
                    raise
                # It had been closed while it was idle.
                return _exchange(connection, words, self._doubted_at)
        except redis.ReadOnlyError:
            connection.disconnect()  # no primary any more: ask anew who is
            raise
        except redis.ResponseError:
            raise  # an answer, if an unwelcome one: the connection is in order
        except BaseException:
            connection.disconnect()
            raise
        finally:
            if len(self._idle) < self._most:
                self._idle.append(connection)
            else:
                self._pool.release(connection)

    def doubt(self) -> None:
        """Somebody else took the server for another incarnation than our lines do: each asks
        again before its next command."""
        self._doubted_at = time.monotonic()

    def _take(self) -> tuple[Any, bool]:
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._pool.get_connection(), True

    def leave_to_parent(self) -> None:
        """After a fork: the sockets are the parent's. Kept, so that nobody closes them."""
        _of_parents.append(self._idle)
        self._idle = deque()


def _exchange(
    connection: Any, words: Callable[[str], Words], doubted_at: float
) -> tuple[Any, str]:
    known: Incarnation | None = connection.__dict__.get("_cachepatterns")
    if known is None:
        if connection.encoder.decode_responses:
            raise redis.DataError(
                "the CACHES alias decodes responses; remove decode_responses from its OPTIONS"
            )
        known = connection._cachepatterns = Incarnation(connection)
    # Connected before it is asked who is there: else the command itself might be what connects
    # it, to a server that has been restarted or promoted since, and name the former one.
    connection.connect()
    connection.check_health()
    run = known.current(connection, doubted_at)
    # Its stub takes tuples of one word only.
    packed = pack_command(tuple(words(run)))  # type: ignore[arg-type]
    connection.send_packed_command((packed,), check_health=False)
    return connection.read_response(), run


_all: WeakSet[Lines] = WeakSet()
_of_parents: list[Any] = []


def _after_fork() -> None:
    for lines in list(_all):
        lines.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
