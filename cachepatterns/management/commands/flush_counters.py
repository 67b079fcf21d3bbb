"""``manage.py flush_counters``: writes what increments and events have left in Redis."""

from __future__ import annotations

import argparse
import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections

from cachepatterns.backends.store import counters_store
from cachepatterns.behind import Buffer, buffers
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.management.console import PARTIAL, leave, unreachable, usage
from cachepatterns.models import FlushedBatch
from cachepatterns.write.flushing import Flusher


class Command(BaseCommand):
    help = (
        "Writes the increments and events that wait in Redis to the database, in batches, each "
        "exactly once. Any number may run at once. Exit codes: 0 all written, or with --watch "
        "stopped; 2 usage, 3 something is left, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="all that waits, and end (default)")
        how.add_argument(
            "--watch", action="store_true", help="as often as declared, until SIGTERM or SIGINT"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = buffers()
        if not found:
            usage("No policy declares counters or events: there is nothing to flush.")
        for alias in {buffer.using for buffer in found}:
            _require_table(alias)
        flusher = Flusher()
        if options["watch"]:
            _stop_on_signals(flusher)
            self.stderr.write(f"Flushing {_names(found)} ...")
            flusher.run()
            self.stderr.write("Stopped.")
            return
        try:
            counters_store().backend.ping()
        except (BackendError, ConfigurationError) as error:
            unreachable(error)
        done = flusher.everything()
        lost = f", {done.lost} lost" if done.lost else ""
        self.stdout.write(f"{done.rows} rows written in {done.batches} batches{lost}.")
        if done.failed:
            self.stderr.write(f"Not written, and kept: {', '.join(sorted(set(done.failed)))}.")
        leave(PARTIAL if done.failed else 0)


def _names(found: list[Buffer]) -> str:
    return ", ".join(f"{buffer.policy.label} {buffer.kind}" for buffer in found)


def _require_table(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
    if FlushedBatch._meta.db_table not in tables:
        usage(
            f"The database {alias!r} has no table {FlushedBatch._meta.db_table}: run "
            f"`manage.py migrate cachepatterns --database={alias}`."
        )


def _stop_on_signals(flusher: Flusher) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        flusher.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
