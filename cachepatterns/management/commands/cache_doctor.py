"""``manage.py cache_doctor``: asks everything that can be asked, and says what to do."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand

from cachepatterns.checks import TAG
from cachepatterns.checks.durability import check_redis_error
from cachepatterns.live import Finding, State
from cachepatterns.live.examination import examine
from cachepatterns.management.console import FAILURE, OK, UNREACHABLE, leave

SIGNS = {
    State.OK: "ok      ",
    State.NOTE: "note    ",
    State.UNKNOWN: "unknown ",
    State.WARNING: "WARNING ",
    State.FAILURE: "FAILURE ",
    State.UNREACHABLE: "FAILURE ",
}


class Command(BaseCommand):
    help = (
        "Examines settings, Redis, the databases, triggers, the outbox and what the cache earns. "
        "Exit codes: 0 nothing failed, 1 something did (with --strict: or was warned of), "
        "4 Redis or a database unreachable."
    )
    requires_system_checks: list[str] = []  # what they find is told below

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--strict", action="store_true", help="warnings fail too")
        parser.add_argument("--json", action="store_true", help="the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        found = [*_settings(), *examine()]
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [asdict(finding) for finding in found]}))
        else:
            for finding in found:
                self._tell(finding)
        leave(_code(found, options["strict"]))

    def _tell(self, finding: Finding) -> None:
        self.stdout.write(f"{SIGNS[finding.state]}{finding.topic}: {finding.text}")
        if finding.hint and finding.state is not State.OK:
            self.stdout.write(f"        → {finding.hint}")


def _settings() -> list[Finding]:
    """What the system checks find that ask no server."""
    messages = [*checks.run_checks(tags=[TAG]), *check_redis_error()]
    found = [
        Finding(
            topic="settings",
            state=State.FAILURE if message.level >= checks.ERROR else State.WARNING,
            text=message.msg,
            hint=message.hint or "",
            id=str(message.id).partition(".")[2],
        )
        for message in messages
        if not message.is_silenced()
    ]
    return found or [Finding(topic="settings", state=State.OK, text="All of them are in order")]


def _code(found: list[Finding], strict: bool) -> int:
    states = {finding.state for finding in found}
    if State.UNREACHABLE in states:
        return UNREACHABLE
    if State.FAILURE in states or (strict and State.WARNING in states):
        return FAILURE
    return OK
