"""What every embedded server has in common: its start, the wait, and its end."""

import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from shop.processes import Program, interrupts_held, left_over, stop

START_SECONDS = 30.0
POLL_SECONDS = 0.02
PORT_ATTEMPTS = 5


class ServerDidNotStart(Exception):
    """An embedded server ended before it answered; the end of its log says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedServer(ABC):
    """What both have in common: start once, wait until it answers, stop whatever happens."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.home = self.directory / self.name
        self.log = self.directory / f"{self.name}.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # a Ctrl-C half-way must not leave the process behind
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect."""

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """Where the server leaves its process id."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def program(self) -> Program:
        """How it is run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it accepts commands."""

    def start(self) -> None:
        """Stop a server that a killed start left in this directory, then run one of our own."""
        if (stale := left_over(self.pid_file, self.home)) is not None:
            stop(stale, self.stop_signal)
        self.prepare()
        for attempt in range(PORT_ATTEMPTS):
            self.port = free_port()
            with interrupts_held():
                self._process = self.program().start()
            if self._wait():
                return
            # Somebody may have taken the port since; any other reason fails again at once.
            if attempt == PORT_ATTEMPTS - 1 or "in use" not in self._log_tail():
                raise ServerDidNotStart(f"{self.name} did not start:\n{self._log_tail()}")

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process.pid, self.stop_signal)
            self._process.wait()
            self._process = None

    def _wait(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            if self.answers():
                return True
            if time.monotonic() > deadline:
                raise ServerDidNotStart(f"{self.name} does not answer:\n{self._log_tail()}")
            time.sleep(POLL_SECONDS)
        return False

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
