"""Processes to be killed: forked from one that has all loaded and is connected to nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.db import connection

from cachepatterns.conf import user_settings

ROOT = Path(__file__).parents[2]


class Zygote:
    """The process that forks. A context manager; its children end with it."""

    def __init__(self) -> None:
        settings = {
            "database": connection.settings_dict["NAME"],
            "cachepatterns": dict(user_settings()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.behind.zygote", json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Zygote":
        assert self._ask("ready") == "ready"
        return self

    def __exit__(self, *args: object) -> None:
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._process.stdout.close()

    def start(self, function: str, *arguments: Any) -> int:
        """Have a child run a function of this module; returns its pid."""
        return self._ask("start", function, *arguments)

    def wait(self, pid: int) -> int:
        """The child's exit code, negative for the signal that has killed it."""
        return self._ask("wait", pid)

    def run(self, function: str, *arguments: Any) -> int:
        return self.wait(self.start(function, *arguments))

    def kill(self, pid: int) -> int:
        return self._ask("kill", pid)

    def _ask(self, *words: Any) -> Any:
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# -- what children do -----------------------------------------------------------------------------


def flushes(kill_after: str = "") -> None:
    """Flush everything; die after a step."""
    from cachepatterns.write import flushing

    def reached(step: str) -> None:
        if step == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    flushing.reached = reached
    flushing.Flusher().everything()


def keeps_flushing(size: int) -> None:
    """Flush small batches for as long as it lives."""
    from cachepatterns.write import flushing

    flushing.BATCH = size
    flusher = flushing.Flusher()
    while True:
        flusher.everything()


def increments(pks: list[int], count: int) -> None:
    """Add one to one article after the other."""
    from cachepatterns import increment
    from tests.app.counted import Article

    for number in range(count):
        increment(Article, pks[number % len(pks)], views=1)


def records(count: int) -> None:
    """Record events."""
    from cachepatterns import record_event
    from tests.app.counted import Visit

    for number in range(count):
        record_event(Visit, words=str(number))


def main() -> None:
    settings = json.loads(sys.argv[1])
    from django.conf import settings as ours

    ours.DATABASES["default"]["NAME"] = settings["database"]
    ours.CACHEPATTERNS = {**settings["cachepatterns"], "STATS": False}
    import django

    django.setup()
    import tests.app.counted  # noqa: F401

    for line in sys.stdin:
        word, *arguments = json.loads(line)
        print(json.dumps(_answer(word, arguments)), flush=True)


def _answer(word: str, arguments: list[Any]) -> Any:
    if word == "ready":
        return word
    if word == "start":
        pid = os.fork()
        if pid == 0:
            _be_a_child(*arguments)
        return pid
    (pid,) = arguments
    if word == "kill":
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be_a_child(function: str, *arguments: Any) -> None:
    code = 1
    try:
        globals()[function](*arguments)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
