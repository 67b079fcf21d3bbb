"""`manage.py demo`: the whole shop from nothing; `--check` looks at every page and leaves."""

import os
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from shop.addresses import BadAddress, Unreachable
from shop.demo.patterns import patterns
from shop.demo.site import AlreadyRunning
from shop.demo.steps import StepFailed, check, serve, show_patterns
from shop.demo.web import NotServing
from shop.processes import interrupts_raise
from shop.servers import ServerDidNotStart
from shop.switches import WRONG_POLICIES

EXPECTED = (AlreadyRunning, BadAddress, NotServing, ServerDidNotStart, StepFailed, Unreachable)


class Command(BaseCommand):
    help = "Start PostgreSQL and Valkey, fill the shop, serve it; Ctrl-C stops all of it."
    # The checks of the children count; here they would ask a server that is not up yet.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="or the next free one")
        parser.add_argument("--workers", type=int, default=2, help="processes that serve")
        parser.add_argument(
            "--check",
            action="store_true",
            help="visit every page twice in a folder of its own and fail if anything is wrong",
        )

        parser.add_argument(
            "--wrong-policies",
            action="store_true",
            help="cache two models as one should not; manage.py cache_advise finds them",
        )
        parser.add_argument(
            "--patterns",
            action="store_true",
            help="perform each caching pattern through the shop and fail if one does not hold",
        )
        names = [pattern.name for pattern in patterns()]
        parser.add_argument(
            "--only", action="append", choices=names, default=[], help="one of the patterns"
        )
        parser.add_argument(
            "--without",
            action="append",
            choices=[*names, "all"],
            default=[],
            help="do without a pattern: then its line, and no other, must fail",
        )

    def handle(
        self,
        *,
        port: int,
        workers: int,
        check: bool,
        patterns: bool,
        only: list[str],
        without: list[str],
        wrong_policies: bool,
        **options: object,
    ) -> None:
        if wrong_policies:
            os.environ[WRONG_POLICIES] = "1"  # its children serve, and they read it
        if (only or without) and not patterns:
            raise CommandError("--only and --without are for --patterns.")
        try:
            with interrupts_raise():
                if patterns:
                    self._show_patterns(workers, only, without)
                else:
                    self._run(port, workers, check)
        except EXPECTED as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; everything that was started is stopped.")
            sys.exit(130)

    def _run(self, port: int, workers: int, only_check: bool) -> None:
        if not only_check:
            serve(port=port, count=workers, say=self._say)
        elif not check(count=workers, say=self._say):
            sys.exit(1)

    def _show_patterns(self, workers: int, only: list[str], without: list[str]) -> None:
        names = [pattern.name for pattern in patterns()]
        off = names if "all" in without else list(dict.fromkeys(without))
        wrong = show_patterns(count=workers, say=self._say, only=only, without=off)
        played = [name for name in names if not only or name in only]
        kept = [name for name in played if name not in off]
        missed = [name for name in played if name in off]
        if kept:
            self._say(f"{_share(kept, wrong)} patterns hold.")
        if missed:
            self._say(f"{_share(missed, wrong)} fail as they must where the shop does without.")
        if wrong:
            sys.exit(1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _share(names: list[str], wrong: dict[str, str]) -> str:
    well = sum(name not in wrong for name in names)
    return f"{well} of {len(names)}"
