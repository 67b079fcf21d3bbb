"""A TCP proxy between clients and a server, which can cut, swallow, hold back and lose answers.

It runs in a thread of its own; all that happens to connections happens there.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

READ_BYTES = 1 << 16


class Proxy:
    """Listens on a free port of the loopback interface and passes on to `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.refusing = self.swallowing = self.holding = False
        self.answers_to_lose = 0
        self._sides: set[_Side] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        # The port is ours from the first moment, whoever else looks for a free one.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._thread.start()
        starting = self._loop.create_server(lambda: _Client(self), sock=self._listener)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._do(self._server.close)
        self.cut()
        self._do(lambda: None)  # a turn of the loop, in which the sockets are closed
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- faults -----------------------------------------------------------------------------

    def cut(self) -> None:
        """Close all connections, whatever is under way on them."""
        self._do(self._abort_all)

    def refuse(self) -> None:
        """Close all connections, and new ones as soon as they are made."""
        self.refusing = True
        self.cut()

    def swallow(self) -> None:
        """Pass nothing on, in neither direction, and say nothing: a black hole."""
        self.swallowing = True

    def hold(self) -> None:
        """Keep what comes until `heal`, which passes it on, even if its sender has gone."""
        self.holding = True

    def lose_answers(self, count: int) -> None:
        """Pass commands on, but close the connection when the answer comes; `count` times."""
        self.answers_to_lose = count

    def heal(self) -> None:
        """Pass everything on again. Connections that were swallowed from are closed."""
        swallowed, self.swallowing = self.swallowing, False
        self.refusing = self.holding = False
        self.answers_to_lose = 0
        if swallowed:
            self.cut()
        self._do(self._pump_all)

    def point_to(self, target: int) -> None:
        """Another server from now on; the connections to the old one are closed."""
        self.target = target
        self.cut()

    # -- in the loop's thread ---------------------------------------------------------------

    def _do(self, work: Callable[[], Any]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                work()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def _abort_all(self) -> None:
        for side in list(self._sides):
            side.abort()

    def _pump_all(self) -> None:
        for side in list(self._sides):
            side.pump()


class _Side(asyncio.Protocol):
    """One end of a connection through the proxy; what it receives goes to the other end."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.other: _Side | None = None
        self.transport: Any = None
        self.aborted = False
        self.waiting: deque[bytes | None] = deque()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.proxy._sides.add(self)

    def data_received(self, data: bytes) -> None:
        if not self.proxy.swallowing:
            self.waiting.append(data)
            self.pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.waiting.append(None)
        self.pump()

    def pump(self) -> None:
        """Pass on what has come, and the end of it."""
        while self.waiting and self.other is not None and not self.proxy.holding:
            data = self.waiting.popleft()
            out = self.other.transport
            if data is None:
                self.proxy._sides.discard(self)
                out.close()
            elif not out.is_closing():
                out.write(data)

    def abort(self) -> None:
        for side in (self, self.other):
            if side is not None:
                side.aborted = True
                side.waiting.clear()
                self.proxy._sides.discard(side)
                side.transport.abort()


class _Client(_Side):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.proxy.refusing:
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop, target = asyncio.get_running_loop(), self.proxy.target
        try:
            await loop.create_connection(lambda: _Server(self), "127.0.0.1", target)
        except OSError:
            self.abort()


class _Server(_Side):
    def __init__(self, client: _Client) -> None:
        super().__init__(client.proxy)
        self.other = client

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        assert self.other is not None
        if self.other.aborted:  # while we were connecting
            self.abort()
            return
        self.other.other = self
        self.other.pump()

    def data_received(self, data: bytes) -> None:
        if self.proxy.answers_to_lose > 0:
            self.proxy.answers_to_lose -= 1
            self.abort()
            return
        super().data_received(data)
