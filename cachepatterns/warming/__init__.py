"""Warming: asking what readers will ask, so that the first of them finds it.

`manage.py cache_warm` from code::

    jobs, _stood = hot_jobs(500)
    done = run([*declared_jobs(policy), *jobs], workers=4, rate=50)

A warm-up is a reader like any other: it loads only what is not there, by the whole protocol, so
nothing that a write outdates meanwhile is ever served from what it has stored.
"""

from __future__ import annotations

from cachepatterns.warming.crew import Run, run, warm
from cachepatterns.warming.jobs import Job, declared, declared_jobs, hot_jobs
from cachepatterns.warming.notebook import Notebook
from cachepatterns.warming.warmed import Warmed

__all__ = [
    "Job",
    "Notebook",
    "Run",
    "Warmed",
    "declared",
    "declared_jobs",
    "hot_jobs",
    "run",
    "warm",
]
