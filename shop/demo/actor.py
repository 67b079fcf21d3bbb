"""One more process of the shop that pauses where somebody else says, so that steps of two
processes can be put in any order.

The function it runs is called with ``pause`` and the arguments, all of them strings::

    def reads_and_stores_late(pause, slug):
        with after_each_query(pause, "loaded"):
            queries.product(slug)

``pause(name)`` tells the other side that this point is reached, and returns when it says so.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from shop.home import BASE_DIR

PATIENCE_SECONDS = 30.0

Pause = Callable[[str], None]


class ActorFailed(Exception):
    """The process has ended, or does not come to where it is waited for."""


class Actor:
    """The side that gives the orders. A context manager: at its end the process is killed."""

    def __init__(self, env: Mapping[str, str], function: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", __name__, function, *map(str, arguments)]
        self._env = dict(env)
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __enter__(self) -> Actor:
        self.process = subprocess.Popen(
            self._command,
            env=self._env,
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
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
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        """What the function has returned, through JSON."""
        return self._expect("result")

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed under our hands, after a kill
            for line in self.process.stdout:
                self._said.put(json.loads(line))
        self._said.put(None)

    def _expect(self, kind: str, value: Any = ...) -> Any:
        try:
            said = self._said.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            said = {"nothing for": PATIENCE_SECONDS}
        if said is None or kind not in said or value not in (..., said[kind]):
            raise ActorFailed(f"{self._command[3]}: expected {kind} {value}, got {said}")
        return said[kind]


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


def main(function: str, *arguments: str) -> None:
    """The side that is given orders."""
    import django

    django.setup()
    from django.utils.module_loading import import_string

    def pause(name: str) -> None:
        print(json.dumps({"at": name}), flush=True)
        sys.stdin.readline()

    found = import_string(function)(pause, *arguments)
    print(json.dumps({"result": found}, default=str), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
