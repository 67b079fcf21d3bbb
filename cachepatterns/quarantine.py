"""Quarantine: why nothing is cached in the first seconds on an empty Redis, and how to end it.

Where registrations may have been lost (first start, flush, restart, failover), a model is read
from the database until every transaction that was open at that moment has ended: that takes
``FENCE_SECONDS``. Who knows that nobody writes may say so.
"""

from __future__ import annotations

import time

from django.db import connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import guard_key
from cachepatterns.core.tag import ALL_NAMED
from cachepatterns.registry import site
from cachepatterns.transactions import database_id

_POLL_SECONDS = 0.05


def guard_keys() -> list[str]:
    """The guards of all watched models in the databases they are cached for."""
    prefix = config().PREFIX
    labels = sorted({model._meta.label_lower for model in site.tracked().values()})
    aliases = {alias for policy in site.policies() for alias in policy.databases}
    found = [guard_key(prefix, ALL_NAMED)]
    for alias in sorted(aliases & set(connections)):
        database = database_id(connections[alias])
        found += [guard_key(prefix, f"{label}@{database}") for label in labels]
    return found


def declare_no_writers() -> None:
    """Say that no transaction that has written is open anywhere, which ends all quarantines.

    For tests that flush, for a site that does not serve yet. Raises `BackendError`.
    """
    current_store().declare_no_writers(guard_keys())


def wait_until_open(timeout: float) -> bool:
    """Wait until no guard keeps readers away, at most `timeout` seconds; whether it is so.

    Raises `BackendError`.
    """
    store, guards = current_store(), guard_keys()
    deadline = time.monotonic() + timeout
    while not all(store.read(guards, []).is_open):
        if time.monotonic() >= deadline:
            return False
        store.tend(guards)
        time.sleep(_POLL_SECONDS)
    return True
