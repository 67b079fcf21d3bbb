"""``manage.py cache_verify``: live entries against the database, in stale per million."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.exceptions import BackendError
from cachepatterns.management.console import (
    FAILURE,
    OK,
    add_labels,
    chosen_policies,
    leave,
    require_server,
    unreachable,
    usage,
)
from cachepatterns.verifying import Verified, verify

WATCH_SECONDS = 5.0
SHOWN = 20


class Command(BaseCommand):
    help = (
        "Compares live entries, taken at random, with the database. Exit codes: 0 nothing is "
        "stale, 1 more is than --fail-over allows, 2 usage, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_labels(parser)
        parser.add_argument("--sample", type=int, default=1000, help="entries, at most (1000)")
        parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="as JSON, a line a round")
        parser.add_argument(
            "--fail-over",
            type=float,
            default=0.0,
            metavar="PPM",
            help="exit 1 if more entries per million are stale (0)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["sample"] < 1:
            usage("--sample takes a number of entries, at least 1.")
        if options["fail_over"] < 0:
            usage("--fail-over takes a number per million, 0 or more.")
        policies = chosen_policies(options["labels"])
        require_server()
        total = Verified()
        try:
            while True:
                found = verify(policies, sample=options["sample"])
                total += found
                self._show(found, total, options)
                if not options["watch"]:
                    break
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; what was compared until then counts.")
        except BackendError as error:
            unreachable(error)
        leave(FAILURE if total.stale_per_million > options["fail_over"] else OK)

    def _show(self, found: Verified, total: Verified, options: Any) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(found.as_data()))
            return
        for finding in found.findings[:SHOWN]:
            self.stdout.write(
                f"STALE  {finding.label}  {finding.key}  stored {finding.age:.1f} s ago"
            )
            if finding.sql:
                self.stdout.write(f"       {finding.sql[:300]}")
            self.stdout.write(f"       {finding.difference}")
        said = total if options["watch"] else found
        self.stdout.write(
            f"{said.checked} entries checked, {said.stale} stale, {said.unknown} unknown, "
            f"{said.moving} in motion; {said.stale_per_million:g} stale per million"
        )
        if not said.checked:
            self.stderr.write("Nothing could be compared: the cache holds no live entry of these.")
