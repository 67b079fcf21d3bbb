"""``manage.py cache_stats``: the report of the whole fleet, for a terminal or a pipeline."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.exceptions import BackendError
from cachepatterns.hotkeys import hottest
from cachepatterns.management.console import (
    FAILURE,
    OK,
    UNREACHABLE,
    add_labels,
    chosen_policies,
    leave,
    table,
    unreachable,
    usage,
)
from cachepatterns.stats.buckets import DEFAULT_PERIOD, HOUR, PERIODS, Period
from cachepatterns.stats.export import as_data
from cachepatterns.stats.exposition import exposition
from cachepatterns.stats.report import ModelReport, Report, report
from cachepatterns.stats.verdicts import ENOUGH
from cachepatterns.templatetags.cachepatterns_numbers import (
    amount,
    duration,
    milliseconds,
    percent,
    rate,
)

WATCH_SECONDS = 2.0
CLEAR = "\x1b[2J\x1b[H"


class Command(BaseCommand):
    help = (
        "Shows what the cache does for the whole fleet. Exit codes: 0, 1 (hit rate below "
        "--fail-under), 2 usage, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_labels(parser)
        parser.add_argument("--since", choices=list(PERIODS), default=DEFAULT_PERIOD.name)
        parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
        parser.add_argument(
            "--hot",
            type=int,
            nargs="?",
            const=20,
            metavar="N",
            help="the N keys (20) that were read most, with estimates of how often",
        )
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser.add_argument(
            "--prom", action="store_true", help="in Prometheus' text format, for a textfile"
        )
        parser.add_argument(
            "--fail-under", type=float, metavar="PERCENT", help="exit 1 if the hit rate is lower"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        limit = options["fail_under"]
        if limit is not None and not 0 <= limit <= 100:
            usage("--fail-under takes a percentage from 0 to 100.")
        if options["prom"] and (options["json"] or options["hot"] is not None):
            usage("--prom is a format of its own: neither --json nor --hot goes with it.")
        labels = None
        if options["labels"]:
            labels = {policy.label for policy in chosen_policies(options["labels"])}
        period = PERIODS[options["since"]]
        if options["hot"] is not None:
            self._show_hot(options["hot"], labels, period, options["json"])
            return
        try:
            while True:
                found = report(period)
                models = [m for m in found.models if labels is None or m.label in labels]
                if options["watch"] and self.stdout.isatty():
                    self.stdout.write(CLEAR, ending="")
                if options["prom"]:
                    self.stdout.write(exposition(found, models), ending="")
                else:
                    self._show(found, models, options["json"])
                if not options["watch"]:
                    break
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return
        leave(self._code(found, models, limit))

    def _show(self, found: Report, models: list[ModelReport], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(as_data(found, models)))
            return
        totals = found.totals
        self.stdout.write(
            f"{found.state}, last {found.period.name}, {found.processes} processes reporting"
        )
        if found.trouble:
            self.stderr.write(found.trouble)
            return
        self.stdout.write(
            f"hit rate {percent(totals.hit_rate)} of {amount(totals.asked)} questions, "
            f"{rate(found.reads_per_second)} reads/s, p95 hit "
            f"{milliseconds(totals.hit_latency.p95)}, estimated "
            f"{amount(totals.queries_avoided)} queries and "
            f"{duration(totals.database_seconds_avoided)} of database time avoided"
        )
        for what, times in found.errors.items():
            self.stdout.write(f"errors: {what} × {times}")
        for outbox in found.outboxes:
            waiting = "?" if outbox.backlog is None else amount(outbox.backlog)
            lease = "the lease stands" if outbox.leased else "NO LEASE: nothing is served"
            self.stdout.write(
                f"outbox of {outbox.alias}: {waiting} waiting, relays: {outbox.relays}, {lease}"
            )
        for behind in found.behinds:
            self.stdout.write(
                f"{behind.label} {behind.kind} written behind: {amount(behind.waiting)} waiting, "
                f"{behind.batches} open batches, oldest {duration(behind.oldest_seconds)}"
            )
        head = ["model", "tier", "reads", "hit rate", "bypass", "p95 hit", "p95 load",
                "invalidations", "writes/read", "verdict"]  # fmt: skip
        rows = [_row(model) for model in models]
        if rows:
            self.stdout.write("\n" + table(head, rows))
        done = [
            [model.label, what, amount(times)]
            for model in models
            for what, times in model.numbers.done.items()
        ]
        if done:
            self.stdout.write("\nPatterns:")
            self.stdout.write(table(["model", "what", "times"], done))
        sites = [
            [model.label, call.source, call.site or "-", amount(times)]
            for model in models
            for call, times in model.numbers.call_sites.items()
        ]
        if sites:
            self.stdout.write("\nWrites seen only by their table:")
            self.stdout.write(table(["model", "by", "call site", "times"], sites))
        for model in models:
            for reason in model.verdict.reasons:
                self.stdout.write(f"\n{model.label}: {reason.seen}. {reason.fix}")

    def _show_hot(
        self, limit: int, labels: set[str] | None, period: Period, as_json: bool
    ) -> None:
        if limit < 1:
            usage("--hot takes a number of keys, 1 or more.")
        try:
            hot = hottest(limit, labels=labels, hours=period.seconds // HOUR)
        except BackendError as error:
            unreachable(error)
        if as_json:
            self.stdout.write(json.dumps([each.as_data() for each in hot]))
        elif hot:
            rows = [[each.key, each.label, each.pattern, amount(each.reads)] for each in hot]
            self.stdout.write(table(["key", "model", "pattern", "reads"], rows))
        else:
            self.stdout.write(f"No key was read more than once in the last {period.name}.")

    def _code(self, found: Report, models: list[ModelReport], limit: float | None) -> int:
        if found.state == "down" or found.trouble:
            return UNREACHABLE
        if limit is None:
            return OK
        asked = sum(model.numbers.asked for model in models)
        if asked < ENOUGH:
            self.stderr.write(f"Too few reads to judge: {asked}, {ENOUGH} are needed.")
            return OK
        hits = sum(model.numbers.hits + model.numbers.shared for model in models)
        if 100 * hits / asked < limit:
            self.stderr.write(f"Hit rate {percent(hits / asked)} is under {limit:g} %.")
            return FAILURE
        return OK


def _row(model: ModelReport) -> list[str]:
    n = model.numbers
    return [
        model.label,
        model.policy.tier.name if model.policy else "-",
        amount(n.reads),
        percent(n.hit_rate),
        amount(n.bypasses),
        milliseconds(n.hit_latency.p95),
        milliseconds(n.load_latency.p95),
        amount(n.invalidations),
        rate(n.writes_per_read),
        model.verdict.level.title,
    ]
