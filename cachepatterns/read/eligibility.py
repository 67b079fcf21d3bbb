"""Whether a read may be answered from, and stored in, the cache at this moment.

Pure questions about the connection and the query; each 'no' is a reason that is counted
and shown, never a guess.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns import transactions
from cachepatterns.conf import config
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.options import ReadOptions, why_uncached
from cachepatterns.replicas import primary_alias
from cachepatterns.transactions import in_atomic, in_manual_mode, is_customised, pending_writes

_defaults: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
SUPPORTED_VENDORS = frozenset({"postgresql", "sqlite", "mysql"})


def why_not_here(connection: BaseDatabaseWrapper, alias: str, policy: ResolvedPolicy) -> str:
    """Why nothing may be cached on this connection now; empty if it may."""
    reason = why_not_kept_here(connection, alias, policy)
    if not reason and not policy.is_strict and decides_a_write():
        return DECIDES
    return reason


def why_not_kept_here(connection: BaseDatabaseWrapper, alias: str, policy: ResolvedPolicy) -> str:
    """Why nothing that is read on this connection now may be stored; empty if it may."""
    settings, vendor = config(), connection.vendor
    if not settings.ENABLED:
        return "disabled"
    if (reason := why_uncached()) != "":
        return reason
    if not policy.tier.caches:
        return "tier never"
    if (primary_alias(alias) if settings.REPLICAS else alias) not in policy.databases:
        return "other database"
    if vendor not in SUPPORTED_VENDORS:
        return "unsupported database"
    if vendor == "sqlite" and _is_private(str(connection.settings_dict["NAME"])):
        return "private database"
    if is_customised(connection):
        return "session state"
    return why_not_in_transaction(connection)


def _is_private(name: str) -> bool:
    """Whether SQLite keeps the database for this process alone: others have theirs by the
    same name. Of tests with a cache of their own, there are no others."""
    return (name == ":memory:" or "mode=memory" in name) and not transactions.ignores_testcase


def why_not_in_transaction(connection: BaseDatabaseWrapper) -> str:
    """Why the transaction that `connection` is in must keep to the database.

    From its first write on, a transaction reads nothing through the cache: cascades and
    triggers write rows that nobody can name, and it must see its own writes. Where a
    transaction sees a snapshot (SQLite, and isolation above READ COMMITTED) what it reads
    may be older than what others have committed since, so it must not be published; and
    what others publish is newer than its own snapshot.
    """
    if in_manual_mode(connection):
        return "manual transaction"
    if not connection.in_atomic_block:
        return ""
    if connection.needs_rollback or _is_aborted(connection):
        return "broken transaction"
    if not in_atomic(connection):
        pending_writes(connection)  # delivers what a block that has ended has left
        return ""
    if pending_writes(connection) is not None:
        return "transaction has written"
    if not _reads_committed(connection):
        return "snapshot transaction"
    return ""


def _is_aborted(connection: BaseDatabaseWrapper) -> bool:
    """Whether PostgreSQL refuses every further statement: then we give no answer either."""
    info = getattr(connection.connection, "info", None)
    status = getattr(info, "transaction_status", None)
    return getattr(status, "name", "") == "INERROR"


def _reads_committed(connection: BaseDatabaseWrapper) -> bool:
    """Whether each statement of a transaction sees what was committed before it."""
    conn: Any = connection
    if connection.vendor == "postgresql":
        return _postgres_level(connection.connection) in {"read committed", "read uncommitted"}
    if connection.vendor == "mysql":
        return getattr(conn, "isolation_level", None) == "read committed"
    return False


def _postgres_level(driver: Any) -> str:
    """The isolation of this connection's transactions.

    Django's option and the driver's attribute say so outright; else it is up to the role, the
    database and the server's configuration, and asked once. What single transactions ask for
    (``SET TRANSACTION``) the execute wrapper sees.
    """
    told = getattr(getattr(driver, "isolation_level", None), "name", None)
    if told is not None:
        return str(told).replace("_", " ").lower()
    known: str | None = _defaults.get(driver)
    if known is None:
        with driver.cursor() as cursor:
            row = cursor.execute("SHOW transaction_isolation").fetchone()
        known = _defaults[driver] = str(row[0])
    return known


def why_not_this(query: Any, options: ReadOptions) -> str:
    """Why this query is no question for the cache; empty if it is."""
    if not options.enabled:
        return "uncached()"
    if query.select_for_update:
        return "select_for_update"
    if query.explain_info is not None:
        return "explain"
    return ""
