"""Checks of what counts and exports: whose numbers would be half the truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004

from cachepatterns.contrib.prometheus import is_wanted
from cachepatterns.stats.report import report
from cachepatterns.stats.verdicts import Level

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PORTS = ("PROMETHEUS_METRICS_EXPORT_PORT", "PROMETHEUS_METRICS_EXPORT_PORT_RANGE")


def check_prometheus(**kwargs: Any) -> list[CheckMessage]:
    """The folder in which processes put their counters together is there."""
    folder = _folder()
    if not (is_wanted() and folder) or (Path(folder).is_dir() and os.access(folder, os.W_OK)):
        return []
    return [
        Warning(
            f"{FOLDER} is {folder!r}, which is no folder that can be written to: no process can "
            "count.",
            hint="Make it before the first worker starts, and empty it then: what an earlier "
            "start has left would be added.",
            id="cachepatterns.W016",
        )
    ]


def check_prometheus_processes(**kwargs: Any) -> list[CheckMessage]:
    """Several workers add up; for ``check --deploy``, as development has one process."""
    if not is_wanted() or _folder() or any(getattr(settings, name, None) for name in PORTS):
        return []
    return [
        Warning(
            f"{FOLDER} is not set: of several workers, /metrics shows the counters of whichever "
            "answers.",
            hint=f"Set {FOLDER} in the workers' environment, or export by a port each "
            "(PROMETHEUS_METRICS_EXPORT_PORT_RANGE). One process alone needs neither: silence "
            "this check then.",
            id="cachepatterns.W017",
        )
    ]


def check_hit_rates(**kwargs: Any) -> list[CheckMessage]:
    """What probably hurts, by the numbers of the last hour; for ``check --deploy``."""
    return [
        Warning(
            f"{model.label}: {model.verdict.level.title}"
            + "".join(f"; {reason.seen}" for reason in model.verdict.reasons),
            hint=" ".join(str(reason.fix) for reason in model.verdict.reasons)
            or f"`manage.py cache_stats {model.label}` says which of its queries miss.",
            obj=model.policy.model if model.policy else None,
            id="cachepatterns.W027",
        )
        for model in report().models
        if model.verdict.level is Level.HURTING
    ]


def _folder() -> str:
    return os.environ.get(FOLDER) or os.environ.get(FOLDER.lower()) or ""
