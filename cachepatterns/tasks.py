"""Refreshes as tasks of Django's own framework (6.0 and newer): ``"REFRESH": "tasks"``."""

from __future__ import annotations

from django.tasks import task

from cachepatterns.read.revalidating import refresh_entry


@task
def refresh(message: str) -> None:
    """Load one entry anew."""
    refresh_entry(message)


def enqueue(message: str) -> None:
    """Hand a refresh to the workers of ``TASKS["default"]``."""
    refresh.enqueue(message)
