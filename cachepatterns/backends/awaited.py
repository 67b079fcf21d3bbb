"""Answers that are heard later: nobody waits for them, or their sender has something else to do.

They come in the order in which commands were sent, so those that nobody waits for are heard
when the next one that is waited for has been sent: mostly all of them come at once then.

What was heard is told (`tell`) when the connection is back with its lender. Who is told may ask
something himself, over that connection too, or over one on which there is more to be heard.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import redis

Heard = Callable[[Exception | None], None]
"""Called with what went wrong, once the answers have been looked at."""

_UNHEARD = "_cachepatterns_unheard"
"""The attribute of a connection that holds what is to come over it: for each who has sent
something, how many answers, and who hears of them."""


def leave_unheard(connection: Any, count: int, heard: Heard) -> None:
    """So many answers more will come over `connection`."""
    setattr(connection, _UNHEARD, (*connection.__dict__.get(_UNHEARD, ()), (count, heard)))


def is_behind(connection: Any) -> bool:
    """Whether more than one sender's answers are to come: they must not pile up."""
    return len(connection.__dict__.get(_UNHEARD, ())) > 1


def forget(connection: Any) -> None:
    """`connection` has a new socket: what was to come over the former one is lost."""
    unheard = connection.__dict__.get(_UNHEARD, ())
    setattr(connection, _UNHEARD, ())
    _heard.waiting.extend((told, redis.ConnectionError("cut off")) for _, told in unheard)


def has_answers(connection: Any) -> bool:
    """Whether answers that nobody waits for have come, or can not come any more."""
    if not connection.__dict__.get(_UNHEARD):
        return False
    try:
        return connection.__dict__.get("_sock") is None or bool(connection.can_read(timeout=0))
    except redis.ConnectionError:
        return True


def hear(connection: Any) -> None:
    """Look at the answers to what was sent, for `tell`.

    A connection on which they do not come is closed. Raises what interrupts, and, when all have
    been looked at, a timeout: who has waited so long for a server need not ask it anything.
    """
    unheard = connection.__dict__.get(_UNHEARD)
    if not unheard:
        return
    said: list[Exception | None] = []
    lost: Exception | None = None
    try:
        for count, _ in unheard:
            refused: Exception | None = None
            if lost is None:
                try:
                    refused = refusal(connection, count)
                except (redis.RedisError, OSError) as error:
                    connection.disconnect()
                    lost = error
            said.append(lost or refused)
    except BaseException:
        connection.disconnect()
        lost = redis.ConnectionError("interrupted")
        raise
    finally:
        setattr(connection, _UNHEARD, ())
        said += [lost] * (len(unheard) - len(said))
        _heard.waiting.extend(zip([told for _, told in unheard], said, strict=True))
    if isinstance(lost, redis.TimeoutError):
        raise lost


def refusal(connection: Any, count: int) -> Exception | None:
    """The first of so many answers by which a command is refused."""
    first: Exception | None = None
    for _ in range(count):
        try:
            connection.read_response()
        except redis.ReadOnlyError:
            raise  # no primary any more: ask anew who is
        except redis.ResponseError as error:
            first = first or error
    return first


class _Told(threading.local):
    """What a thread has heard, and has told nobody yet."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Heard, Exception | None]] = deque()
        self.is_telling = False


_heard = _Told()


def tell() -> None:
    """Tell whoever wants to know what this thread has heard. What they hear in turn is told
    after it, not within: it would go as deep as there are connections."""
    heard = _heard
    if not heard.waiting or heard.is_telling:
        return
    heard.is_telling = True
    try:
        while heard.waiting:
            told, error = heard.waiting.popleft()
            told(error)
    finally:
        heard.is_telling = False


class Lender(Protocol):
    """Whoever has lent the connection (`Lines`)."""

    def call(self, words: Any) -> tuple[Any, str]:
        """Ask over another connection."""

    def put_back(self, connection: Any) -> None:
        """Take it back."""

    def leave(self, connection: Any) -> None:
        """Take it back, without hearing or telling anything."""


class Asked:
    """A command that was sent over `connection`, which nobody else has until its answer is heard.

    Dropped, it leaves the answer to be heard with the next one, and told to nobody.
    """

    __slots__ = ("_connection", "_lender", "_words")

    def __init__(self, connection: Any, words: Any, lender: Lender) -> None:
        self._connection: Any = connection
        self._words, self._lender = words, lender

    def answer(self) -> Any:
        """Wait for the answer, once. Raises as `Lines.call` does, and as that sends once more
        what went to a connection that had been closed."""
        connection, self._connection = self._connection, None
        if connection.pid != os.getpid():  # before a fork: what comes over it is the parent's
            connection.disconnect()
            return self._lender.call(self._words)[0]
        try:
            hear(connection)  # what was sent before it
            return connection.read_response()
        except redis.ReadOnlyError:
            connection.disconnect()  # no primary any more: ask anew who is
            raise
        except redis.ResponseError:
            raise
        except redis.TimeoutError:
            connection.disconnect()
            raise
        except redis.ConnectionError:
            connection.disconnect()
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._lender.put_back(connection)
        return self._lender.call(self._words)[0]

    def __del__(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # No more than that: memory is collected in the middle of anything.
        if connection.pid == os.getpid():
            leave_unheard(connection, 1, _nobody)
        else:  # before a fork: what comes over it is the parent's
            connection.disconnect()
        self._lender.leave(connection)


def _nobody(error: Exception | None) -> None:
    """Nobody wants to know."""
