"""One more process of the shop that pauses where somebody else says, so that steps of two
processes can be put in any order.

The function it runs is called with ``pause`` and the arguments, all of them strings::

    def reads_and_stores_late(pause, slug):
        with after_each_query(pause, "loaded"):
            queries.product(slug)

``pause(name)`` tells the other side that this point is reached, and returns when it says so.

`shop.demo.nursery` starts them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from shop.processes import is_alive

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.001

Pause = Callable[[str], None]


class ActorFailed(Exception):
    """The process has ended, or does not come to where it is waited for."""


class Actor:
    """The side that gives the orders, at one end of a connection. A context manager: at its end
    the process is killed."""

    def __init__(
        self, connection: socket.socket, name: str, patience: float = PATIENCE_SECONDS
    ) -> None:
        connection.settimeout(patience)
        self._connection = connection
        self._heard = connection.makefile("r", encoding="utf-8")
        self._name = name
        self._patience = patience
        try:
            self.pid: int = self._expect("pid")
        except ActorFailed:
            connection.close()
            raise

    def __enter__(self) -> Actor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def until(self, name: str) -> None:
        """Return when it pauses at `name`."""
        self._expect("at", name)

    def go_on(self) -> None:
        """Let it go on from where it pauses."""
        self._connection.sendall(b"\n")

    def result(self) -> Any:
        """What the function has returned, through JSON."""
        return self._expect("result")

    def kill(self) -> None:
        """SIGKILL, wherever it is; return when it is gone."""
        if self._connection.fileno() == -1:
            return
        with self._connection, self._heard, contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            while is_alive(self.pid):
                time.sleep(PAUSE_SECONDS)

    def _expect(self, kind: str, value: Any = ...) -> Any:
        try:
            line = self._heard.readline()
            said = json.loads(line) if line else "nothing, it has ended"
        except OSError:
            said = f"nothing for {self._patience:.0f} s"
        if not isinstance(said, dict) or kind not in said or value not in (..., said[kind]):
            wanted = kind if value is ... else f"{kind} {value!r}"
            raise ActorFailed(f"{self._name}: expected {wanted}, got {said}")
        return said[kind]


def act(connection: socket.socket, function: str, *arguments: str) -> None:
    """The side that is given orders, in a process of its own."""
    from django.utils.module_loading import import_string

    orders = connection.makefile("r", encoding="utf-8")

    def say(**what: Any) -> None:
        connection.sendall(json.dumps(what, default=str).encode() + b"\n")

    def pause(name: str) -> None:
        say(at=name)
        if not orders.readline():
            raise SystemExit(1)  # nobody is there any more who could say how it goes on

    say(pid=os.getpid())
    say(result=import_string(function)(pause, *arguments))


@contextlib.contextmanager
def after_each_query(pause: Pause, name: str, *, using: str = "default") -> Iterator[None]:
    """Pause after each statement of this thread that the database has answered."""
    from django.db import connections

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found = run(sql, params, many, context)
        pause(name)
        return found

    with connections[using].execute_wrapper(execute):
        yield
