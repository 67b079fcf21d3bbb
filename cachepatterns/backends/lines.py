"""Lines to Redis: connections of the client's own pool, held between commands.

Taking a connection out of redis-py's pool and giving it back costs as much as half a round
trip: locks, metrics, and a poll that asks whether the idle socket still lives. So a line is
kept once it was taken. That its server has closed it meanwhile shows in the first command,
which is then sent once more on a new connection: all that goes over a line may be sent twice
(reads, stores, and scripts that name their registration by its token).

Some answers nobody has to wait for: what is sent by `send` is carried out before anything that
is asked over the same line later, and its answers are heard with that one's, or by `hear_all`.

At most a quarter of the pool is held, since the rest of the project lives on it too. Only
redis-py's plain pool is treated so: Sentinel's looks at a connection's server when it is given
back, and is asked for one each time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

import redis
from hiredis import pack_command

from cachepatterns.backends.awaited import (
    Asked,
    Heard,
    has_answers,
    hear,
    is_behind,
    leave_unheard,
    refusal,
    tell,
)
from cachepatterns.backends.incarnation import Incarnation

Words = Sequence[str | bytes | float]

traced: Callable[..., Any] | None = None
"""Where commands are traced, called for each of them: with how it goes over a connection, and with
what that takes (`cachepatterns.contrib.opentelemetry.commands`)."""

_LINES = "_cachepatterns_lines"
"""The attribute of a pool that holds its lines."""


def lines_of(pool: Any) -> Lines:
    """The lines of `pool`, which all who use it share: a quarter of it is held in all, by however
    many backends, and goes when the pool goes."""
    known: dict[str, Lines] = pool.__dict__
    found = known.get(_LINES)
    return known.setdefault(_LINES, Lines(pool)) if found is None else found


class Packed:
    """Commands made for the server of one incarnation, as they go over a line; for another one
    they are made anew."""

    __slots__ = ("_words", "count", "message", "run")

    def __init__(self, words: Callable[[str], Sequence[Words]], run: str) -> None:
        self._words, self.run = words, run
        commands = words(run)
        self.count = len(commands)
        self.message = b"".join(map(pack_command, map(tuple, commands)))  # type: ignore[arg-type]

    def __call__(self, run: str) -> Sequence[Words]:
        return self._words(run)


class Lines:
    """The lines of one pool, to `call` or `send` over; thread-safe."""

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
        exchange = _exchange if traced is None else partial(traced, _exchange)
        try:
            try:
                return exchange(connection, words, self._doubted_at)
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                connection.disconnect()
                if is_new:
                    raise
                # It had been closed while it was idle.
                return exchange(connection, words, self._doubted_at)
        except redis.ReadOnlyError:
            connection.disconnect()  # no primary any more: ask anew who is
            raise
        except redis.ResponseError:
            raise  # an answer, if an unwelcome one: the connection is in order
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self.put_back(connection)

    def ask(self, words: Callable[[str], Words]) -> Asked:
        """Send a command whose answer is wanted a little later. Nobody else has the line until
        then. Raises where it could not be sent."""
        connection, _ = self._sent(lambda run: (words(run),))
        return Asked(connection, words, self)

    def send(self, words: Callable[[str], Sequence[Words]], heard: Heard) -> None:
        """Send commands whose answers nobody waits for; `heard` is told of them later.

        Raises where they could not be sent, and `heard` is not called then. Commands that
        do not arrive are *not* sent again: that is for `heard` to decide.
        """
        connection, count = self._sent(words, alone=True)
        try:
            leave_unheard(connection, count, heard)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self.put_back(connection)

    def packed(self, words: Callable[[str], Sequence[Words]]) -> Packed:
        """Commands for `send`, packed for the server that was talked to last."""
        try:
            run = self._idle[-1].__dict__["_cachepatterns"].run
        except (IndexError, KeyError):
            run = ""
        return Packed(words, run)

    def _sent(
        self, words: Callable[[str], Sequence[Words]], *, alone: bool = False
    ) -> tuple[Any, int]:
        """The line over which the commands went out, and how many answers to them will come over
        it; no others will, if they are `alone`."""
        connection, is_new = self._take()
        transmit = _send if traced is None else partial(traced, _send)
        try:
            if alone or is_behind(connection):
                hear(connection)
            try:
                return connection, transmit(connection, words, self._doubted_at)
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                connection.disconnect()
                if is_new:
                    raise
                return connection, transmit(connection, words, self._doubted_at)
        except BaseException:
            connection.disconnect()
            self.put_back(connection)
            raise

    def call_many(self, words: Callable[[str], Sequence[Words]]) -> None:
        """Have commands carried out; raises what the first of them says that is refused."""
        connection, count = self._sent(words, alone=True)
        try:
            refused = refusal(connection, count)
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self.put_back(connection)
        if refused is not None:
            raise refused

    def hear_all(self, *, wait: bool = True) -> None:
        """Look at the answers that are still to come, of lines that nobody uses; without `wait`
        at those that have come."""
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.popleft()
            except IndexError:
                return
            try:
                if wait or has_answers(connection):
                    with contextlib.suppress(redis.TimeoutError):  # `heard` is told
                        hear(connection)
            except BaseException:
                connection.disconnect()
                raise
            finally:
                self.put_back(connection)

    def doubt(self) -> None:
        """Somebody else took the server for another incarnation than our lines do: each asks
        again before its next command."""
        self._doubted_at = time.monotonic()

    def _take(self) -> tuple[Any, bool]:
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._pool.get_connection(), True

    def put_back(self, connection: Any) -> None:
        """Keep a line that nobody uses any more, or give it back to the pool; and tell what was
        heard over it."""
        if len(self._idle) < self._most:
            self._idle.append(connection)
            tell()
            return
        try:
            with contextlib.suppress(redis.TimeoutError):
                hear(connection)  # the pool's next user expects none of our answers
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)
            tell()

    def leave(self, connection: Any) -> None:
        """Hold a line for the next command, even beyond what is held."""
        self._idle.append(connection)

    def leave_to_parent(self) -> None:
        """After a fork: the sockets are the parent's. Kept, so that nobody closes them."""
        _of_parents.append(self._idle)
        self._idle = deque()


def _exchange(
    connection: Any, words: Callable[[str], Words], doubted_at: float
) -> tuple[Any, str]:
    run = _ready(connection, doubted_at)
    # By hiredis' own annotation it takes tuples of one word only.
    packed = pack_command(tuple(words(run)))  # type: ignore[arg-type]
    connection.send_packed_command((packed,), check_health=False)
    hear(connection)  # what was sent before it
    return connection.read_response(), run


def _send(connection: Any, words: Callable[[str], Sequence[Words]], doubted_at: float) -> int:
    run = _ready(connection, doubted_at)
    packed = words if type(words) is Packed and words.run == run else Packed(words, run)
    connection.send_packed_command((packed.message,), check_health=False)
    return packed.count


def _ready(connection: Any, doubted_at: float) -> str:
    """Connect, and name the incarnation of who is there."""
    known: Incarnation | None = connection.__dict__.get("_cachepatterns")
    if known is None:
        if connection.encoder.decode_responses:
            raise redis.DataError(
                "the CACHES alias decodes responses; remove decode_responses from its OPTIONS"
            )
        known = connection._cachepatterns = Incarnation(connection)
    is_connected = connection.__dict__.get("_sock") is not None
    if is_connected and not connection.health_check_interval:
        run = known.recent(doubted_at)
        if run:
            return run
    hear(connection)  # before anything else is answered
    # Connected before it is asked who is there: else the command itself might be what connects
    # it, to a server that has been restarted or promoted since, and name the former one.
    if connection.__dict__.get("_sock") is None:  # asking costs less than connecting again
        connection.connect()
    connection.check_health()
    return known.current(connection, doubted_at)


_all: WeakSet[Lines] = WeakSet()
_of_parents: list[Any] = []


def _after_fork() -> None:
    for lines in list(_all):
        lines.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
