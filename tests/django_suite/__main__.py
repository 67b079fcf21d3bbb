"""The command line: servers, two runs, and what differs between them."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import django
import psycopg

from shop.processes import interrupts_raise
from shop.servers import EmbeddedPostgres, EmbeddedValkey
from tests.django_suite.expected import EXPECTED
from tests.django_suite.modules import ALL, QUICK
from tests.django_suite.source import tests_folder

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    options = _options()
    folder = tests_folder()
    modules = options.modules or (QUICK if options.quick else ALL)
    modules = [name for name in modules if (folder / name.split(".")[0]).exists()]
    with _servers(options.database) as environ:
        plain = _run("plain", folder, modules, environ, options.jobs)
        mode = "honest" if options.honest else "shadow"
        cached = _run(mode, folder, modules, environ, options.jobs)
    return _judge(plain, cached, options.database, options.details)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.django_suite")
    parser.add_argument("modules", nargs="*", help="of Django's tests; by default the ORM's")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--quick", action="store_true", help="a few modules only")
    parser.add_argument("--honest", action="store_true", help="bend nothing, check no hit")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--details", action="store_true", help="show the tracebacks")
    return parser.parse_args()


@contextmanager
def _servers(database: str) -> Iterator[dict[str, str]]:
    with (
        interrupts_raise(),
        tempfile.TemporaryDirectory(prefix="django-suite-") as name,
        EmbeddedPostgres(Path(name), durable=False) as postgres,
        EmbeddedValkey(Path(name), maxmemory="256mb") as valkey,
    ):
        _make_collations(postgres.url)
        yield {
            **os.environ,
            "SUITE_FOLDER": name,
            "SUITE_DATABASE": database,
            "DATABASE_URL": postgres.url,
            "CACHE_URL": valkey.url,
            "DJANGO_SETTINGS_MODULE": "tests.django_suite.settings",
        }


def _make_collations(url: str) -> None:
    """Some models name collations of ICU, which the embedded PostgreSQL is built without."""
    template = url.rsplit("/", 1)[0] + "/template1"
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute("CREATE COLLATION \"sv-x-icu\" (provider = libc, locale = 'C')")


class _Worker:
    """One process of a run; stopped when its `with` block is left."""

    def __init__(
        self,
        mode: str,
        number: int,
        modules: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
    ) -> None:
        self._told = Path(environ["SUITE_FOLDER"]) / f"{mode}-{number}.json"
        self._log = self._told.with_suffix(".log").open("w+")
        more = {
            "SUITE_MODE": mode,
            "SUITE_SHARD": str(number),
            "SUITE_RESULT": str(self._told),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.django_suite.worker", *modules],
            cwd=folder,
            env={**environ, **more},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def result(self) -> dict[str, Any]:
        """Wait for the end; what `runner` has written down."""
        self._process.wait()
        if not self._told.exists():
            self._log.seek(0)
            sys.exit(f"A run did not end:\n{self._log.read()[-5000:]}")
        found: dict[str, Any] = json.loads(self._told.read_text())
        return found


def _run(
    mode: str, folder: Path, modules: Sequence[str], environ: Mapping[str, str], jobs: int
) -> dict[str, Any]:
    """The outcomes of all tests of `modules`, shared out to so many processes."""
    print(f"=== {mode}: {len(modules)} modules", flush=True)
    started = time.monotonic()
    found: dict[str, Any] = {"run": 0, "skipped": 0, "failed": {}, "reads": Counter()}
    with ExitStack() as running:
        shares = filter(None, (modules[number::jobs] for number in range(jobs)))
        workers = [
            running.enter_context(_Worker(mode, number, share, folder, environ))
            for number, share in enumerate(shares, 1)
        ]
        for worker in workers:
            told = worker.result()
            found["run"] += told["run"]
            found["skipped"] += told["skipped"]
            found["failed"] |= told["failed"]
            found["reads"].update(told["reads"])
    seconds = time.monotonic() - started
    print(
        f"{found['run']} tests, {found['skipped']} skipped, {len(found['failed'])} failed "
        f"in {seconds:.0f} s",
        flush=True,
    )
    if found["reads"]:
        print("reads: " + ", ".join(f"{n} {name}" for name, n in found["reads"].most_common(20)))
    return found


def _judge(
    plain: Mapping[str, Any], cached: Mapping[str, Any], database: str, details: bool
) -> int:
    more = {test: text for test, text in cached["failed"].items() if test not in plain["failed"]}
    bugs = {test: text for test, text in more.items() if test not in EXPECTED}
    print(f"=== Django {django.get_version()} on {database}, Python {sys.version.split()[0]}")
    for test in sorted(set(more) & set(EXPECTED)):
        print(f"expected: {test}: {EXPECTED[test]}")
    for test, text in sorted(bugs.items()):
        last = text.strip().rsplit("\n", 1)[-1]
        print(f"FAILED: {test}: {text if details else last[:200]}")
    print(
        f"{cached['run']} tests; {len(plain['failed'])} fail without the cache too, "
        f"{len(more) - len(bugs)} differ as expected, {len(bugs)} are bugs"
    )
    if cached["run"] < plain["run"]:
        print(f"{plain['run'] - cached['run']} tests were not run")
    return 1 if bugs or not cached["run"] or cached["run"] < plain["run"] else 0


if __name__ == "__main__":
    sys.exit(main())
