"""Starts readers and writers in an instant, by forking a process that has imported everything.

    python -m tests.faults.nursery        speaks JSON, a line a message, on stdin and stdout

    {"role": "writer", "page": 3, "seed": "w3"}  ->  {"pid": 4711}
    {"wait": 4711}                               ->  {"status": -9}

It ends when its stdin does, and with the process that started it; its children end with it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shop.processes import TETHER
from shop.tether import die_with_parent

ROOT = Path(__file__).parents[2]


class Nursery:
    """The nursery as its owner sees it."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self._settings, self._log = settings, log

    def __enter__(self) -> Nursery:
        tether = [
            sys.executable,
            "-I",
            str(TETHER),
            str(os.getpid()),
            "",
            str(int(signal.SIGKILL)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*tether, sys.executable, "-m", "tests.faults.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
                    "FAULTS": json.dumps(self._settings),
                },
                start_new_session=True,
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()  # its children die with it
        self._process.communicate()

    def spawn(self, role: str, page: int, seed: str) -> int:
        return int(self._ask({"role": role, "page": page, "seed": seed})["pid"])

    def wait(self, pid: int) -> int:
        """Wait for a child's end; its exit code, or minus the signal that killed it."""
        return int(self._ask({"wait": pid})["status"])

    def where_everybody_is(self, pids: Iterable[int]) -> str:
        """The stacks of the children, for when something hangs."""
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)
        time.sleep(0.5)
        return self._log.read_text()[-8000:]

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the nursery has ended:\n{self._log.read_text()[-3000:]}")
        found: dict[str, Any] = json.loads(answer)
        return found


def main() -> None:
    import django

    django.setup()
    from tests.faults import worker

    parent = os.getpid()
    for line in sys.stdin:
        message = json.loads(line)
        if "wait" in message:
            _, status = os.waitpid(message["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _grow_up(parent, worker.work, message)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _grow_up(parent: int, work: Any, message: dict[str, Any]) -> None:
    """In the child: do the work, and never return into the nursery's loop."""
    code = 1
    try:
        die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            faulthandler.register(signal.SIGUSR1, all_threads=True)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            work(**message)
            code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
