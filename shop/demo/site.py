"""The two servers that the demo needs, and the environment in which its children run."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from shop import home
from shop.addresses import require_reachable
from shop.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey


class AlreadyRunning(Exception):
    """Another demo works in the same folder."""


@contextlib.contextmanager
def site(directory: Path, *, durable: bool, say: Callable[[str], object]) -> Iterator["Site"]:
    """Start what DATABASE_URL and CACHE_URL do not name, and stop it at the end of the block."""
    directory.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "SHOP_HOME": str(directory), "PYTHONUNBUFFERED": "1"}
    servers: list[EmbeddedServer] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone_in(directory))
        if url := env.get("DATABASE_URL"):
            require_reachable("DATABASE_URL", url)
        else:
            say("Starting PostgreSQL ...")
            postgres = stack.enter_context(EmbeddedPostgres(directory, durable=durable))
            servers.append(postgres)
            env["DATABASE_URL"] = postgres.url
        if url := env.get("CACHE_URL"):
            require_reachable("CACHE_URL", url)
        else:
            say("Starting Valkey ...")
            valkey = stack.enter_context(EmbeddedValkey(directory))
            servers.append(valkey)
            env["CACHE_URL"] = valkey.url
        urls = {name: env[name] for name in ("DATABASE_URL", "CACHE_URL")}
        addresses = home.write_addresses(directory, urls)
        stack.callback(addresses.unlink, missing_ok=True)
        yield Site(directory, env, servers)


class Site:
    """Running servers."""

    def __init__(
        self, directory: Path, env: dict[str, str], servers: list[EmbeddedServer]
    ) -> None:
        self.directory = directory
        self.env = env
        self.servers = servers

    def gone(self) -> EmbeddedServer | None:
        """The first server that has ended though nobody asked it to."""
        return next((server for server in self.servers if not server.is_running()), None)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the folder. The lock dies with its process, so a killed demo leaves none behind."""
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(f"A demo is already running in {directory}.") from error
        yield
