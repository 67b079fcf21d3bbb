"""A PostgreSQL primary and streaming replicas of it, whose replay a test holds and lets go."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from shop.processes import Program, interrupts_held
from shop.servers import EmbeddedPostgres
from shop.servers.base import ServerDidNotStart
from shop.servers.postgres import _binaries
from tests.events import eventually

OPTIONS = ("synchronous_commit=on", "autovacuum=off")
"""What is committed is sent at once, and nothing is written by itself."""


class Primary(EmbeddedPostgres):
    """Can be followed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, durable=False, options=OPTIONS)


class StreamingReplica(EmbeddedPostgres):
    """A hot standby, made by `pg_basebackup` when it is first started."""

    def __init__(self, directory: Path, primary: EmbeddedPostgres) -> None:
        super().__init__(directory, durable=False, options=OPTIONS)
        self.primary = primary

    @property
    def password(self) -> str:
        return self.primary.password

    def _make_cluster(self) -> None:
        if self._user:
            shutil.chown(self.directory, self._user)
        with interrupts_held():
            self._process = Program(
                command=[
                    str(_binaries() / "pg_basebackup"),
                    *("-D", str(self.home), "--write-recovery-conf", "--no-sync"),
                    *("--checkpoint=fast", "--wal-method=stream"),
                    *("-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres"),
                ],
                log=self.log,
                user=self._user,
                env={**os.environ, "PGPASSWORD": self.password},
            ).start()
        if self._process.wait() != 0:
            raise ServerDidNotStart(f"pg_basebackup failed:\n{self._log_tail()}")
        self._process = None

    def ask(self, statement: str) -> object:
        return ask(self, statement)

    def hold(self) -> None:
        """Replay nothing from now on. (Received it is all the same, as by a long delay.)"""
        self.ask("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def let_go(self) -> None:
        self.ask("SELECT pg_wal_replay_resume()")

    def catch_up(self) -> None:
        """Wait until everything that the primary has written is replayed."""
        end = ask(self.primary, "SELECT pg_current_wal_flush_lsn()")
        eventually(lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{end}'"))

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Commits are replayed an hour late."""
        self._set_delay("1h")
        try:
            yield
        finally:
            self._set_delay("0")
            self.catch_up()

    def _set_delay(self, delay: str) -> None:
        self.ask(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")
        self.ask("SELECT pg_reload_conf()")
        eventually(lambda: self.ask("SHOW recovery_min_apply_delay") == delay)


def ask(server: EmbeddedPostgres, statement: str) -> object:
    """The one value that `statement` gives."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None
