"""Leases: with the outbox on, how readers know that no bump is being withheld.

A writer that is cut off from Redis can neither register nor bump; its event in the outbox waits
for a relay. So entries are served only while the lease of each database they rest on stands: a
relay has seen, less than ``LEASE_SECONDS`` ago, that nothing was undelivered.
"""

from __future__ import annotations

from collections.abc import Iterable

from cachepatterns.conf import config
from cachepatterns.core.guard import guard_of
from cachepatterns.core.key import lease_key
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database

NO_LEASE = "no lease"


def lease_keys(tags: Iterable[str]) -> tuple[str, ...]:
    """The leases that must stand for what rests on `tags` to be served; none without outbox."""
    found = config()
    if not found.OUTBOX:
        return ()
    guards = {guard_of(tag) for tag in tags}
    databases = {guard.partition("@")[2] for guard in guards if not guard.startswith("#")}
    if any(guard.startswith("#") for guard in guards):
        # A named tag may be bumped by the rules of any model, in any database.
        databases |= set(aliases_by_database(site.databases()))
    return tuple(lease_key(found.PREFIX, database) for database in sorted(databases))
