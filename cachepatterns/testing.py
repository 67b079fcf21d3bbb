"""For users' tests, and for whoever knows that nobody writes."""

from __future__ import annotations

from django.db import connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import guard_key
from cachepatterns.core.tag import ALL_NAMED
from cachepatterns.registry import site
from cachepatterns.transactions import database_id


def declare_no_writers() -> None:
    """Say that no transaction is open anywhere that has written.

    On an empty Redis (first start, flush) every model is in quarantine for
    ``FENCE_SECONDS``, since a registration may have been lost. Tests that flush, a deploy
    that warms before it serves, and the demo know better. Raises `BackendError`.
    """
    prefix = config().PREFIX
    labels = {model._meta.label_lower for model in site.tracked().values()}
    guards = [guard_key(prefix, ALL_NAMED)]
    for connection in connections.all():
        database = database_id(connection)
        guards += [guard_key(prefix, f"{label}@{database}") for label in sorted(labels)]
    current_store().declare_no_writers(guards)
