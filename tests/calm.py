"""Nobody writes: what a test may say that begins with an empty cache."""

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key
from cachepatterns.quarantine import declare_no_writers
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database

HOUR = 3600.0


def nobody_writes() -> None:
    """End quarantines; and with the outbox on, vouch for the outboxes as a relay would that finds
    nothing to deliver."""
    declare_no_writers()
    if config().OUTBOX:
        backend = current_store().backend
        since = backend.moment()
        for database in aliases_by_database(site.databases()):
            assert backend.lease(lease_key(config().PREFIX, database), since, HOUR)
