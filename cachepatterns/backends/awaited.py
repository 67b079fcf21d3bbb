"""A command whose answer is heard later, while its sender has something else to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis


class Asked:
    """A command that was sent over `connection`, which nobody else has until its answer is heard.

    `again` sends it once more, and `put_back` gives the connection back. Dropped with its answer
    unheard it takes the connection along, so that nobody takes that for his own.
    """

    __slots__ = ("_again", "_connection", "_put_back")

    def __init__(
        self,
        connection: Any,
        again: Callable[[], tuple[Any, str]],
        put_back: Callable[[Any], None],
    ) -> None:
        self._connection: Any = connection
        self._again, self._put_back = again, put_back

    def answer(self) -> Any:
        """Wait for the answer, once. Raises as `Lines.call` does, and as that sends once more
        what went to a connection that had been closed."""
        connection, self._connection = self._connection, None
        try:
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
            self._put_back(connection)
