"""``manage.py cache_advise``: what does not earn its keep, and the change that would mend it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.advising import Advice, Proposals, advise, proposals
from cachepatterns.management.console import UNREACHABLE, add_labels, chosen_policies, leave
from cachepatterns.policy import says_warm
from cachepatterns.stats.buckets import PERIODS
from cachepatterns.stats.report import report
from cachepatterns.stats.verdicts import ENOUGH, Verdict
from cachepatterns.templatetags.cachepatterns_numbers import (
    amount,
    bytes_size,
    duration,
    percent,
)


class Command(BaseCommand):
    help = (
        "Says which models had better be cached otherwise or not at all, by what was measured, "
        "and prints the change of their policies as a diff that `git apply` takes. "
        "Exit codes: 0, 2 usage, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_labels(parser)
        parser.add_argument("--since", choices=list(PERIODS), default="24h")
        parser.add_argument("--json", action="store_true", help="the advice as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        labels = {policy.label for policy in chosen_policies(options["labels"])}
        found = report(PERIODS[options["since"]])
        if found.trouble:
            self.stderr.write(found.trouble)
            leave(UNREACHABLE)
        models = [model for model in found.models if model.label in labels]
        advice = advise(models)
        proposed = proposals(each.change for each in advice if each.change is not None)
        if options["json"]:
            data = {
                "period": found.period.name,
                "advice": [each.as_data() for each in advice],
                "diff": proposed.diff,
                "settings": proposed.settings,
            }
            self.stdout.write(json.dumps(data))
            return
        for each in advice:
            self._tell(each)
        self._propose(proposed)
        if not advice:
            judged = sum(model.numbers.asked >= ENOUGH for model in models)
            self.stdout.write(
                f"Nothing to change: {judged} of {len(models)} models were read often enough in "
                f"the last {found.period.name} to be judged ({ENOUGH} reads)."
            )

    def _tell(self, advice: Advice) -> None:
        """In lines that `git apply` and `patch` pass over."""
        model = advice.model
        numbers = model.numbers
        self.stdout.write(
            f"# {model.label}: {model.verdict.level.title}, {percent(numbers.hit_rate)} hits of "
            f"{amount(numbers.reads)} reads"
        )
        earned = model.benefit
        if earned is not None:
            held = f"; holds {bytes_size(earned.memory)} at most" if earned.memory else ""
            self.stdout.write(
                f"#   spares {duration(earned.spared)} and costs {duration(earned.paid)} "
                f"in an hour (estimated){held}"
            )
        self._reasons("", model.verdict)
        for pattern in advice.patterns:
            self._reasons(f"{pattern.pattern}: ", pattern.verdict)
        change = advice.change
        if change is None:
            self.stdout.write("#   no policy would mend that: change the queries or the writes")
        elif change.set.get("tier") == "never" and says_warm(change.policy.policy):
            self.stdout.write("#   its warm() has no effect then: take that out, too")

    def _reasons(self, of: str, verdict: Verdict) -> None:
        for reason in verdict.reasons:
            self.stdout.write(f"#   {of}{reason.seen}. {reason.fix}")

    def _propose(self, proposed: Proposals) -> None:
        if proposed.settings:
            self.stdout.write('# settings.py, CACHEPATTERNS["MODELS"]:')
            for label, options in proposed.settings.items():
                self.stdout.write(f"#   {json.dumps(label)}: {options!r},")
        if proposed.diff:
            self.stdout.write(proposed.diff, ending="")
