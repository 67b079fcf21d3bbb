"""Whether what a connection reads now is new enough to be kept.

Stamps vouch for a result only if the query sees everything that was committed before they were
taken. A primary that answers one statement at a time always does. Others have to prove it: a
replica by having replayed as much as the primary had written, SQLite by having no older
statement open. What can not be proved is served, as Django alone would, and not stored.
"""

from __future__ import annotations

import sqlite3
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.read.replay import why_not_replayed
from cachepatterns.replicas import primary_of
from cachepatterns.transactions import in_transaction

_standbys: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
_PROBE = "cachepatterns_probe"
_SERVER = ("HOST", "PORT", "NAME")


def why_not_keep(connection: BaseDatabaseWrapper) -> str:
    """Why what `connection` loads next must not be stored; empty if it may be.

    To be asked when all stamps are held, before the query, and on the connection that runs it.
    Connects where need be, and raises what Django raises if that fails.
    """
    connection.close_if_health_check_failed()  # as `cursor()` would, and then connect anew
    connection.ensure_connection()
    primary = primary_of(connection)
    if not _same_server(connection, primary):
        return _why_not_replica(connection, primary)
    if connection.vendor == "postgresql" and is_standby(connection.connection):
        return "undeclared replica"
    if connection.vendor == "sqlite" and _has_open_statements(connection.connection):
        return "open iterator"
    return ""


def _same_server(one: BaseDatabaseWrapper, other: BaseDatabaseWrapper) -> bool:
    """Where development has no replica, its alias often leads to the primary itself."""
    if one is other:
        return True
    here, there = one.settings_dict, other.settings_dict
    return all(str(here.get(key)) == str(there.get(key)) for key in _SERVER)


def _why_not_replica(connection: BaseDatabaseWrapper, primary: BaseDatabaseWrapper) -> str:
    if connection.vendor != "postgresql" or primary.vendor != "postgresql":
        return "replica"  # only PostgreSQL can tell how far it has come
    if in_transaction(connection):
        # A question of ours that fails would end the transaction, and one that comes first
        # forbids to SET its isolation.
        return "transaction on a replica"
    if not is_standby(connection.connection):
        return "replica promoted"
    return why_not_replayed(connection, primary)


def is_standby(driver: Any) -> bool:
    """Whether the server is in recovery. PostgreSQL tells it unasked, also when it changes;
    a pooler may withhold that, and then it is asked once per connection."""
    told: str | None = driver.info.parameter_status("in_hot_standby")
    if told is not None:
        return told == "on"
    known = _standbys.get(driver)
    if known is None:
        with driver.cursor() as cursor:
            # SHOW takes no snapshot, so it may be a transaction's first statement.
            row = cursor.execute("SHOW in_hot_standby").fetchone()
        known = _standbys[driver] = row[0] == "on"
    return known


def _has_open_statements(driver: sqlite3.Connection) -> bool:
    """Whether a SELECT is under way on the connection, such as an unfinished `iterator()`.

    SQLite begins a read transaction with the first of several statements and ends it with the
    last, so that until then all of them see what the first one saw. It does not tell directly,
    but refuses to redefine a function meanwhile.
    """
    try:
        for _ in ("define", "redefine"):
            driver.create_function(_PROBE, 0, _nothing)
    except sqlite3.OperationalError:
        return True
    return False


def _nothing() -> None:
    return None
