"""Checks that ask the servers: under ``check --deploy`` only."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.live import Finding, State
from cachepatterns.live.behind import eviction_findings
from cachepatterns.live.databases import timeout_findings
from cachepatterns.live.server import server_findings

LEVELS = {
    State.NOTE: checks.INFO,
    State.UNKNOWN: checks.INFO,
    State.WARNING: checks.WARNING,
    State.FAILURE: checks.ERROR,
    State.UNREACHABLE: checks.ERROR,
}


def check_server(**kwargs: Any) -> list[CheckMessage]:
    """Redis answers, has memory and clients to spare, and forgets nothing that is not written."""
    found = list(server_findings())
    with contextlib.suppress(BackendError, ConfigurationError):  # the server's own finding
        found += eviction_findings()
    return [_message(finding) for finding in found if finding.state in LEVELS]


def check_transaction_timeout(**kwargs: Any) -> list[CheckMessage]:
    """The databases end transactions before their registrations expire."""
    return [_message(finding) for finding in timeout_findings() if finding.state in LEVELS]


def _message(finding: Finding) -> CheckMessage:
    return CheckMessage(
        LEVELS[finding.state],
        f"{finding.topic}: {finding.text}",
        hint=finding.hint,
        id=f"cachepatterns.{finding.id}",
    )
