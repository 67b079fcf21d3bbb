"""The databases that the tests can run on, by the names that ``TESTS_DATABASE`` takes.

``postgresql18`` is the wheel's, and what all tests run on. The others are Debian's packages
(``postgresql-15``, ``mariadb-server-core``): `.ci/run` installs them and runs on each the tests
whose outcome depends on the database.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from shop.processes import Program
from shop.servers import EmbeddedPostgres
from shop.servers.base import EmbeddedServer, ServerDidNotStart


class Postgres15(EmbeddedPostgres):
    """The last PostgreSQL but three: without ``RETURNING old``."""

    locale = ("--locale=C",)
    binaries = Path("/usr/lib/postgresql/15/bin")

    def prepare(self) -> None:
        if not self.binaries.is_dir():
            raise ServerDidNotStart("apt-get install postgresql-15")
        super().prepare()


class MariaDB(EmbeddedServer):
    name = "mariadb"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"mysql://tests@127.0.0.1:{self.port}/shop"

    @property
    def pid_file(self) -> Path:
        return self.home / "mariadb.pid"

    def prepare(self) -> None:
        super().prepare()
        self._options = [
            *("--no-defaults", f"--datadir={self.home}"),
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        if self.home.exists():
            return
        self.home.mkdir()
        installed = subprocess.run(
            [
                _found("mariadb-install-db"),
                *self._options,
                "--auth-root-authentication-method=normal",
            ],
            capture_output=True,
            text=True,
        )
        if installed.returncode:
            raise ServerDidNotStart(installed.stdout + installed.stderr)
        (self.directory / "mariadb.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS shop;\n"
            "CREATE USER IF NOT EXISTS tests@'%';\n"
            "GRANT ALL ON *.* TO tests@'%';\n"
        )

    def program(self) -> Program:
        return Program(
            command=[
                _found("mariadbd"),
                *self._options,
                *(f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"),
                *(f"--socket={self.home}/mariadb.sock", f"--pid-file={self.pid_file}"),
                f"--init-file={self.directory}/mariadb.sql",
                *("--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=0"),
                *("--skip-log-bin", "--innodb-doublewrite=0", "--skip-sync-binlog"),
            ],
            log=self.log,
            stop_signal=self.stop_signal,
        )

    def answers(self) -> bool:
        import pymysql

        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user="tests", db="shop").close()
        except pymysql.err.OperationalError:
            return False
        return True


def _found(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        raise ServerDidNotStart("apt-get install mariadb-server-core mariadb-client")
    return path


DATABASES: dict[str, Callable[[Path], EmbeddedServer]] = {
    "postgresql18": partial(EmbeddedPostgres, durable=False),
    "postgresql15": partial(Postgres15, durable=False),
    "mariadb": MariaDB,
}
