"""``manage.py cache_warm``: what policies declare and what was hot, before the first visitor."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.conf import config
from cachepatterns.exceptions import BackendError
from cachepatterns.management.console import (
    FAILURE,
    OK,
    PARTIAL,
    UNREACHABLE,
    Progress,
    add_labels,
    chosen_policies,
    did_you_mean,
    leave,
    require_server,
    table,
    unreachable,
    usage,
)
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.quarantine import declare_no_writers, wait_until_open
from cachepatterns.registry import tiers
from cachepatterns.warming import Job, Notebook, Run, declared, declared_jobs, hot_jobs, run

HOT_KEYS = 1000


class Command(BaseCommand):
    help = (
        "Fills the cache with what policies declare in warm(), and with what was read most. What "
        "is there already is never asked of the database. "
        "Exit codes: 0 done, 1 failed, 2 usage, 3 partly done, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_labels(parser)
        parser.add_argument("--all", action="store_true", help="every registered model")
        parser.add_argument(
            "--hot",
            nargs="?",
            type=_positive,
            const=HOT_KEYS,
            metavar="N",
            help=f"what the fleet has read most in the last day, {HOT_KEYS} keys unless told; "
            "alone, nothing but that",
        )
        parser.add_argument("--tier", help="only models in this tier")
        parser.add_argument("--limit", type=_positive, help="querysets per model, at most")
        parser.add_argument(
            "--batch-size",
            type=_positive,
            default=0,
            help="also store the rows of the objects found, this many per query",
        )
        parser.add_argument(
            "--workers", type=_positive, default=1, help="threads, each with its own connection"
        )
        parser.add_argument("--rate", type=_rate, help="loads per second at most, of all workers")
        parser.add_argument(
            "--only-missing",
            action="store_true",
            help="find out first which hot keys stand, a hundred in one round trip, and do not "
            "even read those",
        )
        parser.add_argument("--max-seconds", type=float, help="stop after this long")
        parser.add_argument(
            "--resume",
            action="store_true",
            help="leave out what the last run with these options had done when it was interrupted",
        )
        parser.add_argument(
            "--no-writers",
            action="store_true",
            help="declare that nothing writes yet: an empty Redis needs no quarantine then",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be warmed")
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (options["labels"] or options["all"] or options["hot"]):
            usage("Name models or apps to warm, or give --all or --hot.")
        policies = self._policies(options)
        if not options["dry_run"] or options["hot"]:
            require_server()
        started = time.monotonic()
        seconds = options["max_seconds"]
        deadline = started + seconds if seconds is not None else float("inf")
        done = Run()
        notebook = Notebook(*_command(options))
        try:
            if not options["dry_run"]:
                self._open_guards(options["no_writers"])
                if options["resume"]:
                    notebook.open()
                    if not len(notebook):
                        self.stderr.write("There is nothing to resume; starting anew.")
            jobs = self._jobs(policies, options, done)
        except BackendError as error:
            unreachable(error)
        except KeyboardInterrupt:
            jobs, done.interrupted = [], True
        if options["dry_run"]:
            self._would(policies, jobs, options)
            return
        progress = Progress(len(jobs), self.stderr, "warming")
        run(
            jobs,
            workers=options["workers"],
            rate=options["rate"],
            deadline=deadline,
            notebook=notebook,
            step=progress.step,
            into=done,
        )
        if done.interrupted:
            self.stderr.write("Interrupted; what was done until then:")
        self._tell(done, time.monotonic() - started, options["json"])
        code = _code(done)
        if code == OK:
            notebook.forget()
        elif code == PARTIAL:
            self.stderr.write("The rest: the same command with --resume.")
        leave(code)

    def _policies(self, options: Any) -> list[ResolvedPolicy]:
        policies = chosen_policies(options["labels"])
        tier = options["tier"]
        if tier is None:
            return policies
        if tier not in tiers():
            usage(f"There is no tier {tier!r}.{did_you_mean(tier, tiers())}")
        return [policy for policy in policies if policy.tier.name == tier]

    def _open_guards(self, no_writers: bool) -> None:
        """What is stored in quarantine is nothing, so it has to end first."""
        if no_writers:
            declare_no_writers()
        elif not wait_until_open(0):
            self.stderr.write("Waiting for registrations that may have been lost to expire ...")
            if not wait_until_open(config().FENCE_SECONDS + 1):
                self.stderr.write("Some models are being written to; warming what can be.")

    def _jobs(self, policies: list[ResolvedPolicy], options: Any, done: Run) -> list[Job]:
        """What is to be done: what is hot first. Raises `BackendError`."""
        jobs: list[Job] = []
        if options["hot"]:
            labels = {policy.label for policy in policies}
            jobs, stood = hot_jobs(
                options["hot"], labels=labels, only_missing=options["only_missing"]
            )
            done.results.update({each.label: each for each in stood})
        if options["labels"] or options["all"]:
            for policy in policies:
                warmed = done.of(policy.label)
                warmed.declared = declared(policy) or bool(options["hot"] and warmed.asked)
                try:
                    jobs += declared_jobs(
                        policy, limit=options["limit"], batch_size=options["batch_size"]
                    )
                except Exception as error:  # its warm() is somebody's code
                    warmed.fail(error)
        return jobs

    def _would(self, policies: list[ResolvedPolicy], jobs: list[Job], options: Any) -> None:
        found = {policy.label: 0 for policy in policies}
        hot = 0
        for job in jobs:
            if job.is_hot:
                hot += 1
            else:
                found[job.label] += 1
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": True, "querysets": found, "hot": hot}))
            return
        if options["hot"]:
            self.stdout.write(f"{hot} hot keys")
        for label, count in found.items() if options["labels"] or options["all"] else ():
            self.stdout.write(f"{label}: {count} querysets" if count else _nothing(label))

    def _tell(self, done: Run, seconds: float, as_json: bool) -> None:
        results = sorted(done.results.values(), key=lambda each: each.label)
        if as_json:
            models = [each.as_data() for each in results]
            self.stdout.write(json.dumps({"seconds": round(seconds, 3), "models": models}))
            return
        rows = []
        for each in results:
            if not each.declared and not each.asked:
                self.stdout.write(_nothing(each.label))
                continue
            counts = (each.asked, each.stored, each.already_warm, each.skipped)
            rows.append([each.label, *map(str, (*counts, sum(each.not_cached.values())))])
        if rows:
            head = ["model", "asked", "stored", "already warm", "done before", "not cached"]
            self.stdout.write(table(head, rows))
        for each in results:
            for reason, times in each.not_cached.items():
                self.stdout.write(f"{each.label}: {times} not cached: {reason}")
            for error in each.failed:
                self.stderr.write(f"{each.label}: {error}")
            if not each.finished:
                self.stdout.write(f"{each.label}: not finished, {each.left} left")
        if done.cache_failed:
            self.stderr.write("Redis stopped answering, so the rest was left alone.")


def _nothing(label: str) -> str:
    return f"{label}: its policy declares nothing to warm (see ModelPolicy.warm)"


def _command(options: Any) -> list[str]:
    """What tells one warm-up from another that is to be resumed apart from it."""
    told = ("all", "hot", "tier", "limit", "batch_size")
    return [*sorted(options["labels"]), *(f"{name}={options[name]}" for name in told)]


def _code(done: Run) -> int:
    if done.cache_failed:
        return UNREACHABLE
    results = done.results.values()
    failed = sum(len(each.failed) for each in results)
    if failed and failed >= sum(each.asked for each in results):
        return FAILURE
    if failed or done.interrupted or any(not each.finished for each in results):
        return PARTIAL
    return OK


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
