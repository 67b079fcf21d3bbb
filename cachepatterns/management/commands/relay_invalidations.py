"""``manage.py relay_invalidations``: delivers what the outbox holds, for as long as it runs."""

from __future__ import annotations

import argparse
import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections

from cachepatterns.conf import config
from cachepatterns.exceptions import BackendError
from cachepatterns.management.console import PARTIAL, did_you_mean, leave, unreachable, usage
from cachepatterns.models import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.write.relay import Relay


class Command(BaseCommand):
    help = (
        "Bumps what writes have recorded in the outbox and nobody has bumped yet, and renews the "
        "lease without which nothing is served from the cache. Any number may run at once. "
        "Ends on SIGTERM and SIGINT. "
        "Exit codes: 0 stopped, or with --once all delivered; 2 usage, 3 something is left, "
        "4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--database", default="default", help="the alias whose outbox to deliver (default)"
        )
        parser.add_argument("--once", action="store_true", help="deliver what is there and end")
        parser.add_argument(
            "--poll-seconds",
            type=_positive,
            default=1.0,
            help="how often to look for events unless woken (1; at least thrice per lease)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        self._require_outbox(alias)
        relay = Relay(alias, options["poll_seconds"])
        if options["once"]:
            self._deliver_once(relay)
            return
        _stop_on_signals(relay)
        self.stderr.write(f"Relaying the invalidations of {alias!r} ...")
        relay.run()
        self.stderr.write("Stopped.")

    def _require_outbox(self, alias: str) -> None:
        if not config().OUTBOX:
            usage('CACHEPATTERNS["OUTBOX"] is off: there is nothing to relay.')
        if alias not in connections:
            usage(f"There is no database {alias!r}.{did_you_mean(alias, connections)}")
        if alias not in site.databases():
            cached = ", ".join(sorted(site.databases()))
            usage(f"Nothing of the database {alias!r} is cached; policies name: {cached}.")
        with connections[alias].cursor() as cursor:
            tables = connections[alias].introspection.table_names(cursor)
        if InvalidationEvent._meta.db_table not in tables:
            usage(
                f"The database {alias!r} has no outbox yet: run `manage.py migrate "
                f"cachepatterns --database={alias}`."
            )

    def _deliver_once(self, relay: Relay) -> None:
        try:
            done = relay.round()
        except BackendError as error:
            unreachable(error)
        finally:
            relay.close()
        self.stdout.write(f"{done.delivered} delivered, {done.backlog} found.")
        leave(0 if done.leased else PARTIAL)


def _stop_on_signals(relay: Relay) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        relay.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
