"""``manage.py cache_warm``: what policies declare in `warm()`, before the first visitor asks."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.conf import config
from cachepatterns.management.console import (
    FAILURE,
    OK,
    PARTIAL,
    Progress,
    chosen_policies,
    did_you_mean,
    leave,
    require_server,
    table,
    usage,
)
from cachepatterns.quarantine import declare_no_writers, wait_until_open
from cachepatterns.registry import tiers
from cachepatterns.warming import Warmed, declared, querysets, warm


class Command(BaseCommand):
    help = (
        "Fills the cache with the querysets that policies declare in warm(). "
        "Exit codes: 0 done, 1 failed, 2 usage, 3 partly done, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("labels", nargs="*", help="apps or models: shop, shop.Product")
        parser.add_argument("--all", action="store_true", help="every registered model")
        parser.add_argument("--tier", help="only models in this tier")
        parser.add_argument("--limit", type=_positive, help="querysets per model, at most")
        parser.add_argument(
            "--batch-size",
            type=_positive,
            default=0,
            help="also store the rows of the objects found, this many per query",
        )
        parser.add_argument("--max-seconds", type=float, help="stop after this long")
        parser.add_argument(
            "--no-writers",
            action="store_true",
            help="declare that nothing writes yet: an empty Redis needs no quarantine then",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be warmed")
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["labels"] and not options["all"]:
            usage("Name models or apps to warm, or give --all.")
        policies = chosen_policies(options["labels"])
        tier = options["tier"]
        if tier is not None:
            if tier not in tiers():
                usage(f"There is no tier {tier!r}.{did_you_mean(tier, tiers())}")
            policies = [policy for policy in policies if policy.tier.name == tier]
        if options["dry_run"]:
            self._would(policies, options)
            return
        require_server()
        started = time.monotonic()
        self._open_guards(options["no_writers"])
        seconds = options["max_seconds"]
        deadline = started + seconds if seconds is not None else float("inf")
        progress = Progress(len(policies), self.stderr, "warming")
        results: list[Warmed] = []
        interrupted = False
        try:
            for policy in policies:
                results.append(Warmed(label=policy.label, declared=declared(policy)))
                warm(
                    policy,
                    limit=options["limit"],
                    batch_size=options["batch_size"],
                    deadline=deadline,
                    into=results[-1],
                )
                progress.step(policy.label)
        except KeyboardInterrupt:
            interrupted = True
            self.stderr.write("Interrupted; what was done until then:")
        self._tell(results, time.monotonic() - started, options["json"])
        leave(_code(results, interrupted))

    def _open_guards(self, no_writers: bool) -> None:
        """What is stored in quarantine is nothing, so it has to end first."""
        if no_writers:
            declare_no_writers()
        elif not wait_until_open(0):
            self.stderr.write("Waiting for registrations that may have been lost to expire ...")
            if not wait_until_open(config().FENCE_SECONDS + 1):
                self.stderr.write("Some models are being written to; warming what can be.")

    def _would(self, policies: list[Any], options: Any) -> None:
        found = {p.label: sum(1 for _ in querysets(p, options["limit"])) for p in policies}
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": True, "querysets": found}))
            return
        for label, count in found.items():
            self.stdout.write(f"{label}: {count} querysets" if count else _nothing(label))

    def _tell(self, results: list[Warmed], seconds: float, as_json: bool) -> None:
        if as_json:
            models = [done.as_data() for done in results]
            self.stdout.write(json.dumps({"seconds": round(seconds, 3), "models": models}))
            return
        rows = []
        for done in results:
            if not done.declared:
                self.stdout.write(_nothing(done.label))
                continue
            left = sum(done.not_cached.values())
            rows.append(
                [done.label, *map(str, (done.asked, done.stored, done.already_warm, left))]
            )
        if rows:
            head = ["model", "querysets", "stored", "already warm", "not cached"]
            self.stdout.write(table(head, rows))
        for done in results:
            for reason, times in done.not_cached.items():
                self.stdout.write(f"{done.label}: {times} not cached: {reason}")
            for error in done.failed:
                self.stderr.write(f"{done.label}: {error}")
            if done.declared and not done.finished:
                self.stdout.write(f"{done.label}: not finished")


def _nothing(label: str) -> str:
    return f"{label}: its policy declares nothing to warm (see ModelPolicy.warm)"


def _code(results: list[Warmed], interrupted: bool) -> int:
    failed = sum(len(done.failed) for done in results)
    if failed and failed == sum(done.asked for done in results):
        return FAILURE
    if failed or interrupted or any(not done.finished for done in results):
        return PARTIAL
    return OK


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
