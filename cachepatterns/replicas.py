"""Which database aliases are read replicas, and of which: ``CACHEPATTERNS["REPLICAS"]``.

A replica holds its primary's rows, only later. What was read of the primary answers a read of
the replica, and what is written to the primary must invalidate both: so a replica has neither
tags nor policies of its own, and is called by its primary's name wherever a database is meant.
"""

from __future__ import annotations

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config


def primary_alias(alias: str) -> str:
    """The alias of the database whose rows `alias` reads: its primary's, or itself."""
    replicas = config().REPLICAS
    if alias not in replicas:
        return alias
    primary = replicas[alias]
    # A primary that does not exist is reported by a check; pages go on meanwhile.
    return primary if primary in connections.settings else alias


def primary_of(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """This thread's connection to the database whose rows `connection` reads."""
    if not config().REPLICAS:
        return connection
    alias = primary_alias(connection.alias)
    return connection if alias == connection.alias else connections[alias]
