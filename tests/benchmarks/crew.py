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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of {self.name} has died while told to {do} {order}")
        return json.loads(line)

    def close(self) -> None:
        """End of input ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def is_installed(contender: Contender) -> bool:
    return all(importlib.util.find_spec(app) is not None for app in contender.apps)


@contextlib.contextmanager
def crew(names: list[str]) -> Iterator[dict[str, Worker]]:
    """The workers of these contenders on seeded servers of their own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder, durable=False))
        valkey = stack.enter_context(EmbeddedValkey(folder, maxmemory="1gb"))
        workers = {}
        for number, name in enumerate(CONTENDERS):
            if name in names:
                redis = valkey.url.removesuffix("/0") + f"/{number}"
                environment = {"DATABASE_URL": postgres.url, "CACHE_URL": redis}
                if not workers:
                    seeder = Worker("uncached", environment)
                    seeder.tell("seed")
                    seeder.close()
                workers[name] = Worker(name, environment)
                stack.callback(workers[name].close)
        yield workers
