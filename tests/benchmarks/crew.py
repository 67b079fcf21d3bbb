"""The contenders' processes, and the servers they share."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shop.servers import EmbeddedPostgres, EmbeddedValkey
from tests.benchmarks.contenders import CONTENDERS, Contender


class Worker:
    """A contender's process; `tell` has it do something and returns its answer."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker"],
            env={**os.environ, **environment, "BENCHMARK_CONTENDER": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, do: str, **order: Any) -> Any:
        """Raises `RuntimeError` if the process has died; its traceback is on stderr."""
        self.order(do, **order)
        return self.answer()

    def order(self, do: str, **order: Any) -> None:
        """Have it begin; `answer` waits until it is done."""
        assert self._process.stdin is not None
        self._told = f"{do} {order}"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of {self.name} has died while told to {self._told}")
        return json.loads(line)

    def close(self) -> None:
        """End of input ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def is_installed(contender: Contender) -> bool:
    return all(importlib.util.find_spec(app) is not None for app in contender.apps)


_LEAN = ("floor", "cachepatterns")


class Crew:
    """One worker of each contender, and as many more as a scenario needs."""

    def __init__(self, environments: dict[str, dict[str, str]]) -> None:
        self._environments = environments
        self.workers: dict[str, Worker] = {}

    def lean(self, *, quick: bool) -> list[str]:
        """The contenders of a scenario that takes long: in a quick run ours, and what it is
        compared with."""
        return [n for n in self.workers if not quick or n in _LEAN]

    def start(self, name: str, database: int | None = None) -> Worker:
        """A worker more, on the contender's database of Redis or on another one."""
        environment = dict(self._environments[name])
        if database is not None:
            server, _, _ = environment["CACHE_URL"].rpartition("/")
            environment["CACHE_URL"] = f"{server}/{database}"
        return Worker(name, environment)

    @contextlib.contextmanager
    def several(self, name: str, count: int) -> Iterator[list[Worker]]:
        """So many processes of one contender, for a while."""
        with contextlib.ExitStack() as stack:
            workers = []
            for _ in range(count):
                workers.append(self.start(name))
                stack.callback(workers[-1].close)
            yield workers


@contextlib.contextmanager
def crew(names: list[str]) -> Iterator[Crew]:
    """The workers of these contenders on seeded servers of their own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder, durable=False))
        valkey = stack.enter_context(EmbeddedValkey(folder, maxmemory="1gb"))
        found = Crew(
            {
                name: {
                    "DATABASE_URL": postgres.url,
                    "CACHE_URL": valkey.url.removesuffix("/0") + f"/{number}",
                }
                for number, name in enumerate(CONTENDERS)
            }
        )
        with found.several("uncached", 1) as (seeder,):
            seeder.tell("seed")
        for name in names:
            found.workers[name] = found.start(name)
            stack.callback(found.workers[name].close)
        yield found
