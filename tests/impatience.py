"""Not waiting for a server any longer than that, while a test knows that it will not answer."""

import contextlib
from collections.abc import Iterator

from cachepatterns.backends.redis import RedisBackend


@contextlib.contextmanager
def impatient(backend: RedisBackend, seconds: float = 0.2) -> Iterator[None]:
    """For what is waited for in vain: answers are given up after `seconds` within the block.

    Only there: a server that runs may be late with its answer, on a busy machine.
    """
    pool = backend.lines._pool
    patience = pool.connection_kwargs["socket_timeout"]

    def wait_for(seconds: float) -> None:
        pool.connection_kwargs["socket_timeout"] = seconds
        for connection in (*pool._in_use_connections, *pool._available_connections):
            connection.socket_timeout = seconds
            if connection._sock is not None:
                connection._sock.settimeout(seconds)

    wait_for(seconds)
    try:
        yield
    finally:
        wait_for(patience)
