"""What a warm-up has done, noted where the next one finds it: a run that was interrupted, ran out
of time or was killed is resumed where it stopped.

Jobs are noted by a digest of what they ask, so it does not matter in which order workers have
finished them, nor whether the list has changed.
"""

from __future__ import annotations

import threading
import time
from hashlib import blake2b

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import stats_key
from cachepatterns.exceptions import BackendError
from cachepatterns.observe import BurstLog

KEPT = 24 * 3600.0
"""Seconds for which an unfinished run can be resumed."""
SAVE_SECONDS = 1.0
NAME_BYTES = 8

log = BurstLog()


def name_of(*parts: str) -> bytes:
    """The name of a job, from all that tells it from others."""
    return blake2b("\x00".join(parts).encode(), digest_size=NAME_BYTES).digest()


class Notebook:
    """The notes on one command: the same options find the same notes."""

    def __init__(self, *command: str) -> None:
        self._key = stats_key(config().PREFIX, f"warming:{name_of(*command).hex()}")
        self._done: set[bytes] = set()
        self._lock = threading.Lock()
        self._saved = time.monotonic()

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, name: bytes) -> bool:
        return name in self._done

    def open(self) -> None:
        """Read what an earlier run has noted. Raises `BackendError`."""
        (notes,) = current_store().backend.get_many([self._key])
        notes = notes or b""
        starts = range(0, len(notes), NAME_BYTES)
        self._done = {notes[start : start + NAME_BYTES] for start in starts}

    def note(self, name: bytes) -> None:
        """A job is done. Written down about once a second."""
        with self._lock:
            self._done.add(name)
            due = time.monotonic() - self._saved >= SAVE_SECONDS
        if due:
            self.save()

    def save(self) -> None:
        """Write everything down. Never raises: what is not noted is asked again, and is a hit."""
        with self._lock:
            self._saved = time.monotonic()
            notes = b"".join(self._done)
        try:
            current_store().backend.store([(self._key, notes, KEPT)], [], KEPT)
        except BackendError as error:
            log.log("cachepatterns could not note what is warm: %s", error)

    def forget(self) -> None:
        """Everything is done: there is nothing to resume."""
        try:
            current_store().backend.delete([self._key])
        except BackendError as error:
            log.log("cachepatterns could not forget what is warm: %s", error)
