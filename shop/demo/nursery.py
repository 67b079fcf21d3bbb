"""Processes of the shop in a hundredth of a second: forked from one that has loaded everything and
is connected to nothing.

Starting Python, Django and the shop takes a second, and scenes need many processes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from shop.demo.actor import PATIENCE_SECONDS, Actor, Pause, act
from shop.home import BASE_DIR

COMMAND_SECONDS = 120.0
"""How long a management command may take."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A management command that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Nursery:
    """The side that asks for processes; all have the environment `env`. A context manager."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)

    def __enter__(self) -> Nursery:
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env=self._env,
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C at the terminal is for us
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ours.close()  # by which it knows that it is done
        self._process.wait()

    def actor(
        self, function: str, *arguments: object, patience: float = PATIENCE_SECONDS
    ) -> Actor:
        """A process that runs `function`; a context manager."""
        ours, theirs = socket.socketpair()
        with theirs:
            order = json.dumps([function, *map(str, arguments)]).encode()
            socket.send_fds(self._ours, [order], [theirs.fileno()])
        return Actor(ours, function, patience)

    def manage(self, *arguments: str) -> Done:
        """Run ``manage.py`` with `arguments`; its exit code is not judged."""
        order = json.dumps(arguments)
        with self.actor(f"{__name__}.manages", order, patience=COMMAND_SECONDS) as actor:
            return Done(**actor.result())


def manages(pause: Pause, order: str) -> dict[str, Any]:
    """A management command, with what it prints."""
    from django.core.management import execute_from_command_line

    code: int | str | None = 0
    with (
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        try:
            execute_from_command_line(["manage.py", *json.loads(order)])
        except SystemExit as error:
            code = error.code
    returncode = code if isinstance(code, int) else int(code is not None)
    return {"returncode": returncode, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


def main(number: str) -> None:
    """The side that forks, until nobody is there any more who could ask."""
    import django

    django.setup()
    import shop.urls  # noqa: F401 - what takes long to load

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for those that end
    with socket.socket(fileno=int(number)) as orders:
        while True:
            order, fds, *_ = socket.recv_fds(orders, 65536, 1)
            if not order:
                return
            with socket.socket(fileno=fds[0]) as connection:
                if os.fork():
                    continue
                orders.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                act(connection, *json.loads(order))
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
