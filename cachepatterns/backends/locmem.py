"""A backend inside the process: for tests and for trying things out, never for a fleet.

It holds to the same contract, so the whole package behaves the same on it, in one
process. Chosen where the ``CACHES`` alias is Django's LocMemCache.
"""

from __future__ import annotations

import fnmatch
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence

from cachepatterns.backends.base import (
    MARK_SECONDS,
    Heard,
    Item,
    KeyInfo,
    Moment,
    Reading,
    StreamEntry,
)
from cachepatterns.backends.locmem_buffers import LocMemBuffers
from cachepatterns.core.guard import EVERYTHING, STAYING, keeps_away


class LocMemBackend(LocMemBuffers):
    """A dict with deadlines behind a lock; everything is gone with the process."""

    name = "locmem"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._values: dict[str, tuple[bytes, float]] = {}
        self._counters: dict[str, tuple[dict[str, int], float]] = {}
        self._fences: dict[str, dict[str, tuple[float, list[str]]]] = {}
        self._lists: dict[str, tuple[list[bytes], float]] = {}

    def _now(self) -> float:
        return self._clock()

    def _get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._values[key]
            return None
        return found[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            return [self._get(key) for key in keys]

    def read(
        self, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str] = ()
    ) -> Reading:
        with self._lock:
            is_open = [
                not any(keeps_away(named, keys) for _, named in self._fences_of(guard).values())
                for guard in guards
            ]
            leased = all(self._get(lease) is not None for lease in leases)
            return Reading(is_open, [self._get(key) for key in keys], leased)

    def mint(
        self,
        guards: Sequence[str],
        keys: Sequence[str],
        stamps: Sequence[bytes],
        *,
        ttl: float,
        life: float,
    ) -> list[bytes] | None:
        with self._lock:
            for guard in guards:
                for _, named in self._fences_of(guard).values():
                    closes = named[:1] == [EVERYTHING]
                    if keeps_away(named, keys) if closes else not {*keys}.isdisjoint(named):
                        return None
            deadline, standing = self._clock() + ttl, []
            for key, stamp in zip(keys, stamps, strict=True):
                known = self._get(key)
                kept = deadline if known is None else max(deadline, self._values[key][1])
                self._values[key] = (stamp if known is None else known, kept)
                standing.append(stamp if known is None else known)
            return standing

    def fence(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        renew: bool = False,
    ) -> bytes:
        with self._lock:
            for guard, named in guards.items():
                fences = self._fences_of(guard)
                lost = renew and token not in fences
                if named[:1] == [STAYING]:
                    named = [EVERYTHING, *named[1:]]  # keeps more away than it has to
                fences[token] = (self._clock() + life, list(named))
                if named[:1] != [EVERYTHING] or lost:
                    self.delete(named)
        return b""

    def release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        life: float,
        mark: str = "",
        alone: bytes = b"",
        heard: Heard | None = None,
        made: object = None,
    ) -> None:
        with self._lock:
            self.delete(keys)
            if mark:
                self._values[mark] = (b"1", self._clock() + MARK_SECONDS)
            for guard in guards:
                self._fences_of(guard).pop(token, None)
        if heard is not None:
            heard(None)

    def tend(self, guards: Sequence[str], *, life: float, no_writers: bool = False) -> None:
        with self._lock:
            for guard in guards:
                self._fences_of(guard)

    def moment(self) -> Moment:
        return Moment("", self._clock())

    def lease(self, key: str, since: Moment, seconds: float) -> bool:
        with self._lock:
            until = since.at + seconds
            if until <= self._clock():
                return False
            known = self._values[key][1] if self._get(key) is not None else until
            self._values[key] = (b"o", max(known, until))
            return True

    def claim(self, key: str, token: str, seconds: float) -> bool:
        return True

    def disclaim(self, key: str, token: str) -> None:
        return None

    def _fences_of(self, guard: str) -> dict[str, tuple[float, list[str]]]:
        """The live registrations; the bumps that expired ones name are performed."""
        # Nothing can be lost here but with the process, writers and all: no quarantine.
        fences = self._fences.setdefault(guard, {})
        now = self._clock()
        for token in [t for t, (deadline, _) in fences.items() if deadline <= now]:
            self.delete(fences.pop(token)[1])
        return fences

    def store(
        self,
        items: Sequence[Item],
        stamp_keys: Sequence[str],
        stamp_ttl: float,
        heard: Heard | None = None,
        *,
        brief: Sequence[str] = (),
        brief_ttl: float = 0.0,
    ) -> None:
        with self._lock:
            now = self._clock()
            for key, payload, ttl in items:
                self._values[key] = (payload, now + ttl)
            for key in stamp_keys:
                stamp = self._get(key)
                if stamp is not None:
                    deadline = max(self._values[key][1], now + stamp_ttl)
                    self._values[key] = (stamp, deadline)
            for key in brief:
                stamp = self._get(key)
                if stamp is not None:
                    self._values[key] = (stamp, min(self._values[key][1], now + brief_ttl))
        if heard is not None:
            heard(None)

    def prolong(self, key: str, payload: bytes, ttl: float, heard: Heard | None = None) -> None:
        with self._lock:
            if self._get(key) is not None:
                self._values[key] = (payload, self._clock() + ttl)
        if heard is not None:
            heard(None)

    def delete(self, keys: Sequence[str]) -> int:
        with self._lock:
            gone = 0
            for key in keys:
                gone += self._get(key) is not None
                self._values.pop(key, None)
                gone += self._counters.pop(key, None) is not None
                gone += self._lists.pop(key, None) is not None
            return gone

    def scan(self, pattern: str, *, limit: int) -> Generator[list[str], None, bool]:
        with self._lock:
            keys = [*self._values, *self._counters, *self._lists]
        matches = re.compile(fnmatch.translate(pattern)).match
        page = [key for key in keys[:limit] if matches(key)]
        if page:
            yield page
        return len(keys) <= limit

    def inspect(self, keys: Sequence[str]) -> list[KeyInfo]:
        with self._lock:
            found = []
            for key in keys:
                value = self._get(key)
                if value is not None:
                    left = self._values[key][1] - self._clock()
                    found.append(KeyInfo(key, left, len(key) + len(value)))
            return found

    def add(self, counters: Mapping[str, Mapping[str, int]], ttl: float) -> None:
        with self._lock:
            for key, amounts in counters.items():
                fields = dict(self.counters([key])[0])
                for name, amount in amounts.items():
                    fields[name] = fields.get(name, 0) + amount
                self._counters[key] = (fields, self._clock() + ttl)

    def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        with self._lock:
            now = self._clock()
            found = [self._counters.get(key) for key in keys]
            return [dict(f[0]) if f is not None and f[1] > now else {} for f in found]

    def push(self, key: str, items: Sequence[bytes], *, keep: int, ttl: float) -> None:
        with self._lock:
            newest = [*reversed(items), *self.newest(key, keep)][:keep]
            self._lists[key] = (newest, self._clock() + ttl)

    def newest(self, key: str, count: int) -> list[bytes]:
        with self._lock:
            items, deadline = self._lists.get(key, ([], 0.0))
            return items[:count] if deadline > self._clock() else []

    # Nobody else could put anything into this process's memory.

    def take_events(
        self, key: str, group: str, name: str, *, count: int, idle: float
    ) -> list[StreamEntry]:
        return []

    def settle_events(self, key: str, group: str, ids: Sequence[str]) -> None:
        pass

    def park_event(self, key: str, entry: Mapping[str, str], *, keep: int) -> None:
        pass

    def forget_events(self, key: str, before: float) -> None:
        pass

    def info(self) -> dict[str, object]:
        with self._lock:
            used = sum(len(key) + len(value[0]) for key, value in self._values.items())
        return {"used_memory": used, "maxmemory": 0, "version": "locmem"}

    def ping(self) -> None:
        return None
