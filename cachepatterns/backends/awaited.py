"""Answers that are heard later: nobody waits for them, or their sender has something else to do.

They come in the order in which commands were sent, so those that nobody waits for are heard
when the next one that is waited for has been sent: mostly all of them come at once then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

Heard = Callable[[Exception | None], None]
"""Called with what went wrong, once the answers have been looked at."""

_UNHEARD = "_cachepatterns_unheard"
"""The attribute of a connection that holds how many answers are to come, and who hears them."""


def leave_unheard(connection: Any, count: int, heard: Heard) -> None:
    """So many answers will come over `connection`, on which all others have been heard."""
    setattr(connection, _UNHEARD, (count, heard))


def hear(connection: Any) -> None:
    """Look at the answers to what was sent, and tell whoever wants to know.

    A connection on which they do not come is closed. Raises what interrupts, and, when it has
    been told, a timeout: who has waited so long for a server need not ask it anything.
    """
    unheard = connection.__dict__.get(_UNHEARD)
    if unheard is None:
        return
    count, heard = unheard
    setattr(connection, _UNHEARD, None)
    wrong: Exception | None = None
    try:
        for _ in range(count):
            try:
                connection.read_response()
            except redis.ReadOnlyError:
                raise  # no primary any more: ask anew who is
            except redis.ResponseError as error:
                wrong = wrong or error
    except Exception as error:
        connection.disconnect()
        wrong = error
    except BaseException:
        connection.disconnect()
        heard(redis.ConnectionError("interrupted"))
        raise
    heard(wrong)
    if isinstance(wrong, redis.TimeoutError):
        raise wrong


class Asked:
    """A command that was sent over `connection`, which nobody else has until its answer is heard.

    `again` sends it once more, and `put_back` gives the connection back. Dropped with its answer
    unheard it closes the connection, so that nobody takes that for his own, and gives it to
    `leave`, which may be done anywhere: memory is collected in the middle of anything.
    """

    __slots__ = ("_again", "_connection", "_leave", "_put_back")

    def __init__(
        self,
        connection: Any,
        again: Callable[[], tuple[Any, str]],
        put_back: Callable[[Any], None],
        leave: Callable[[Any], None],
    ) -> None:
        self._connection: Any = connection
        self._again, self._put_back, self._leave = again, put_back, leave

    def answer(self) -> Any:
        """Wait for the answer, once. Raises as `Lines.call` does, and as that sends once more
        what went to a connection that had been closed."""
        connection, self._connection = self._connection, None
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
            self._put_back(connection)
        return self._again()[0]

    def __del__(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._leave(connection)
