"""The outboxes as they stand: what waits in the database, who relays it, and the leases."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from django.db.models import Count, Max, Min
from django.db.models.functions import Now

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key, relays_key
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.models import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database


@dataclass(frozen=True, kw_only=True, slots=True)
class Outbox:
    """One database's outbox. ``relays`` is how many have reported in the last seconds."""

    alias: str
    backlog: int | None
    """How many events wait; `None` where the database can not tell."""
    oldest_seconds: float | None
    """How long the oldest of them has been waiting."""
    relays: int
    leased: bool
    """Whether the cache may be read: a relay has confirmed that nothing is withheld."""


def outboxes() -> tuple[Outbox, ...]:
    """All of them, none where the outbox is off. Asking never raises."""
    if not config().OUTBOX:
        return ()
    found = aliases_by_database(site.databases())
    return tuple(
        _outbox(database, alias) for database, aliases in found.items() for alias in aliases
    )


def _outbox(database: str, alias: str) -> Outbox:
    backlog, oldest = _waiting(alias)
    relays, leased = 0, False
    prefix, now = config().PREFIX, time.time()
    lease = lease_key(prefix, database)
    try:
        backend = current_store().backend
        windows = [relays_key(prefix, database, now, ago) for ago in (0, 1)]
        relays = len(set().union(*backend.counters(windows)))
        leased = backend.read([], [lease], [lease]).leased
    except CachePatternsError:
        pass  # the report says already that Redis does not answer
    return Outbox(
        alias=alias, backlog=backlog, oldest_seconds=oldest, relays=relays, leased=leased
    )


def _waiting(alias: str) -> tuple[int | None, float | None]:
    events = InvalidationEvent.ours(alias).filter(delivered_at=None)
    try:
        with transaction.atomic(using=alias):  # a missing table must not break the page's own
            found = events.aggregate(count=Count("pk"), oldest=Min("created_at"), now=Max(Now()))
    except DatabaseError:
        return None, None
    if found["oldest"] is None:
        return found["count"], None
    return found["count"], max(0.0, (found["now"] - found["oldest"]).total_seconds())
