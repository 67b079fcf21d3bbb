"""The relay: rounds of delivery over one database, until it is told to stop.

Any number may run at once, in processes of their own (``manage.py relay_invalidations``) or as a
thread of the web processes (`write.embedded`).
"""

from __future__ import annotations

import os
import secrets
import threading
import time

from django.db import DatabaseError, InterfaceError, connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import RELAY_WINDOW, relays_key
from cachepatterns.exceptions import BackendError
from cachepatterns.observe import BurstLog
from cachepatterns.transactions import database_id
from cachepatterns.write.bell import Bell
from cachepatterns.write.delivery import Delivery, Round

RETRY_SECONDS = 1.0
"""How long a relay waits after a failure of the database or of Redis."""
TIDY_SECONDS = 10.0
"""How often old events are deleted."""

log = BurstLog()


class Relay:
    """Delivers the outbox of one database, on a connection of the thread that runs it."""

    def __init__(self, using: str, poll_seconds: float | None = None) -> None:
        self.using = using
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._bell = Bell(using)
        self._delivery = Delivery(using, self._stopping.is_set)
        self._tidied = time.monotonic()
        self._reported = 0.0

    def stop(self) -> None:
        """Have `run` return once the batch at hand is delivered; from any thread or signal."""
        self._stopping.set()
        self._bell.ring()

    def run(self) -> None:
        """Deliver until `stop`. Survives whatever fails: events are kept, and tried again."""
        try:
            while not self._stopping.is_set():
                self._bell.wait(self._once())
        finally:
            self.close()
            self._delivery.close()

    def close(self) -> None:
        """Let go of what wakes it; `run` does so itself."""
        self._bell.close()

    def round(self) -> Round:
        """One round. Raises `BackendError` and Django's `DatabaseError`."""
        done = self._delivery.round()
        self._report()
        return done

    def _poll(self) -> float:
        """How long to wait unless woken: what bounds the lease must be renewed in time."""
        wanted = 1.0 if self._poll_seconds is None else self._poll_seconds
        return min(wanted, config().LEASE_SECONDS / 3)

    def _once(self) -> float:
        """A round; returns how long to wait for the next one."""
        try:
            self._bell.listen()
            self.round()
            return 0.0 if self._tidy() else self._poll()
        except BackendError:
            pass  # counted and logged by the store
        except (DatabaseError, InterfaceError) as error:
            log.log("A relay can not read the outbox of %r: %s", self.using, error)
            self._delivery.close()
        except Exception:
            log.log("A relay of %r failed", self.using, exc_info=True)
            self._delivery.close()
        return RETRY_SECONDS

    def _tidy(self) -> bool:
        """Delete a batch of old events; returns whether there are more. Between two batches
        new events are delivered."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return False
        if self._delivery.forget_old():
            return True
        self._tidied = time.monotonic()
        return False

    def _report(self) -> None:
        """Be counted among the living, for the admin."""
        if time.monotonic() - self._reported < RETRY_SECONDS:
            return
        self._reported = time.monotonic()
        database = database_id(connections[self.using])
        key = relays_key(config().PREFIX, database, time.time())
        current_store().backend.add({key: {self.name: 1}}, 6 * RELAY_WINDOW)
