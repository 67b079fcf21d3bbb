"""The run's Valkey servers: a primary, its replica, and the proxies in between.

readers ── proxy ─┐
                  ├─ primary ── proxy ── replica
writers ── proxy ─┘
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shop.servers import EmbeddedValkey
from tests.faults.proxy import Proxy

PATIENCE = 20.0
PRIMARY = ("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64kb")


class Servers:
    """Started and stopped as a block; knows who is primary at the moment."""

    def __init__(self, folder: Path) -> None:
        self._folders = (folder / f"valkey{number}" for number in itertools.count())
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Servers:
        with contextlib.ExitStack() as stack:
            self.primary = self._new(stack)
            port = self.primary.port
            self.readers, self.writers, self.replication = (
                stack.enter_context(Proxy(port)) for _ in range(3)
            )
            self.replica = self._new(stack, of=self.replication.port)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _new(self, stack: contextlib.ExitStack, of: int | None = None) -> EmbeddedValkey:
        words = [*PRIMARY]
        if of is not None:
            words += ["--replicaof", "127.0.0.1", str(of), "--repl-timeout", "5"]
        folder = next(self._folders)
        folder.mkdir()
        return stack.enter_context(EmbeddedValkey(folder, options=words))

    @contextlib.contextmanager
    def client(self, server: EmbeddedValkey | None = None) -> Any:
        """A connection to a server past all proxies, to the primary unless another is named."""
        port = (server or self.primary).port
        # Without retries: SHUTDOWN ends the connection, and trying again would take seconds.
        once = Retry(NoBackoff(), 0)
        with contextlib.closing(redis.Redis(port=port, socket_timeout=5, retry=once)) as client:
            yield client

    def kill(self) -> None:
        """kill -9 of the primary."""
        assert self.primary.pid is not None
        os.kill(self.primary.pid, signal.SIGKILL)
        self.primary.stop()  # which waits for its end

    def start_again(self) -> None:
        """The primary, at another port, with what stands on its disk."""
        self.primary.start()
        self._point_all()

    def _point_all(self) -> None:
        for proxy in (self.readers, self.writers, self.replication):
            proxy.point_to(self.primary.port)

    def wait_for_replica(self) -> None:
        """Until the replica has all that the primary has."""
        deadline = time.monotonic() + PATIENCE
        with self.client(self.replica) as client:
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < deadline, "the replica does not catch up"
                time.sleep(0.02)

    def promote(self) -> None:
        """The replica is the primary from now on, and gets a replica of its own."""
        self._promote(self.replica)
        self.primary.stop()
        self.primary = self.replica
        self._point_all()
        self.replica = self._new(self._stack, of=self.replication.port)

    def promote_for(self, seconds: float) -> None:
        """The replica is the primary for so long; then the former one is it again, which kept
        running, and has got nothing of what was written meanwhile."""
        former, heir = self.primary, self.replica
        self._promote(heir)
        self.primary = heir
        self._point_all()
        with self.client(former) as client:
            client.replicaof("127.0.0.1", "1")  # where nobody answers
            time.sleep(seconds)
        self._promote(former)
        self.primary = former
        self._point_all()
        with self.client(heir) as client:
            client.replicaof("127.0.0.1", str(self.replication.port))

    def _promote(self, server: EmbeddedValkey) -> None:
        with self.client(server) as client:
            client.replicaof("NO", "ONE")
        server.options = PRIMARY  # else it would be a replica, of itself, once restarted
