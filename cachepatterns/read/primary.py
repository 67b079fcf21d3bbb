"""Asks a PostgreSQL primary how far its log has come.

On a connection of its own, one per process: on the thread's it would take part in the user's
transaction, which a question that fails would end. Whoever reads from a replica wants his page
also while the primary hangs, so asking is bounded, and after a failure left alone for a while.
"""

from __future__ import annotations

import atexit
import os
import selectors
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.observe import BurstLog

log = BurstLog()

ASK_SECONDS = 0.5
CONNECT_SECONDS = 2
RETRY_SECONDS = 5.0
MAX_AGE_SECONDS = 60.0
"""Then it connects anew: after a failover the address may lead elsewhere."""

_POSITION = b"""
SELECT lsn - CASE WHEN file_offset = 40 THEN 40
                  WHEN file_offset % current_setting('wal_block_size')::int = 24 THEN 24
                  ELSE 0 END,
       ('x' || left(file_name, 8))::bit(32)::int,
       (SELECT system_identifier FROM pg_control_system())
  FROM (SELECT pg_current_wal_insert_lsn() AS lsn) AS now, pg_walfile_name_offset(lsn)
"""
"""Where the last record ended. The next one may begin behind the header of a new page (24 bytes)
or segment (40), which a replica has not come to while the primary is idle."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log of one cluster, which forks at each promotion into a new timeline."""

    lsn: str
    timeline: int
    system: int


class Primary:
    """One primary, and the connection on which it is asked. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: Any = None
        self._connected = 0.0
        self._not_before = 0.0

    def position(self, connection: BaseDatabaseWrapper) -> Position | None:
        """Where the primary's log ends now; `None` if it does not say (or is no primary)."""
        if time.monotonic() < self._not_before or not self._lock.acquire(timeout=ASK_SECONDS):
            return None
        try:
            return self._ask_anew_if_lost(connection)
        except Exception as error:
            self._close()
            self._not_before = time.monotonic() + RETRY_SECONDS
            log.log("cachepatterns can not ask the primary %r: %s", connection.alias, error)
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _ask_anew_if_lost(self, connection: BaseDatabaseWrapper) -> Position:
        if time.monotonic() - self._connected > MAX_AGE_SECONDS:
            self._close()
        if self._driver is not None:
            try:
                return _ask(self._driver.pgconn)
            except TimeoutError:
                raise
            except Exception:
                self._close()  # ended by the server, perhaps long ago
        self._driver = _connect(connection)
        self._connected = time.monotonic()
        return _ask(self._driver.pgconn)

    def _close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()


def _connect(connection: BaseDatabaseWrapper) -> Any:
    """A driver's connection with the parameters that Django would use."""
    backend: Any = connection
    params = {**backend.get_connection_params(), "connect_timeout": CONNECT_SECONDS}
    return backend.Database.connect(**params)


def _ask(pgconn: Any) -> Position:
    """One statement in autocommit, with a deadline, which the driver itself does not know."""
    deadline = time.monotonic() + ASK_SECONDS
    pgconn.send_query(_POSITION)
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        while pgconn.flush() or pgconn.is_busy():
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no answer within {ASK_SECONDS} s")
            pgconn.consume_input()
    result = pgconn.get_result()
    while pgconn.get_result() is not None:
        pass  # the end of the answer
    if result is None or result.ntuples != 1:
        raise RuntimeError((result.error_message if result else pgconn.error_message).decode())
    lsn, timeline, system = (result.get_value(0, i).decode() for i in range(3))
    return Position(lsn, int(timeline), int(system))


# -- one per server and process -----------------------------------------------------------

_primaries: dict[tuple[str, ...], Primary] = {}
_left_by_fork: list[Any] = []


def position_of(connection: BaseDatabaseWrapper) -> Position | None:
    """Where the log of the primary that `connection` leads to ends now, if it says so."""
    conf = connection.settings_dict
    key = tuple(str(conf.get(name)) for name in ("HOST", "PORT", "NAME", "USER"))
    primary = _primaries.get((connection.alias, *key))
    if primary is None:
        primary = _primaries.setdefault((connection.alias, *key), Primary())
    return primary.position(connection)


def close_all() -> None:
    """Close the connections; they are made again when they are needed."""
    for primary in list(_primaries.values()):
        primary.close()
    _primaries.clear()


def _after_fork() -> None:
    """The connections are the parent's: never used here, and never closed from here."""
    _left_by_fork.extend(_primaries.values())
    _primaries.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_all)
