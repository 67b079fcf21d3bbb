"""What values turned out to rest on beside what their authors have said: what they are made of.

A function that calls another cached one, a fragment within a fragment, must go when what it is
made of goes. That is known only when it is computed, when its stamps are held already; so it is
remembered for the next time. The tags that an entry rests on are part of its key, so processes
that have learnt different things never take each other's entries for theirs.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable

MOST = 4096
"""Values of which a process remembers it."""


class Learnt:
    """By the keys of values, further tags. Thread-safe."""

    def __init__(self) -> None:
        self.unlock()
        self._tags: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def unlock(self) -> None:
        """After a fork: whoever may have held the lock is not here."""
        self._lock = threading.Lock()

    def of(self, key: str) -> tuple[str, ...]:
        """The further tags of the value under `key`, in an order of their own."""
        return self._tags.get(key, ()) if self._tags else ()

    def learn(self, key: str, tags: Iterable[str]) -> None:
        """The value under `key` rests on `tags` too."""
        tags = [*tags]
        if not tags:
            return
        with self._lock:
            known = self._tags.pop(key, ())
            self._tags[key] = tuple(sorted({*known, *tags}))
            if len(self._tags) > MOST:
                self._tags.popitem(last=False)

    def forget(self) -> None:
        """Know nothing of any value."""
        with self._lock:
            self._tags.clear()


learnt = Learnt()

os.register_at_fork(after_in_child=learnt.unlock)
