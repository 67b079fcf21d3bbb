"""Buffers within the process."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from cachepatterns.backends.base import Backend
from cachepatterns.backends.buffers import Backlog


class _Buffer:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[bytes] = []
        self.batches: dict[str, tuple[dict[str, int], list[bytes]]] = {}
        self.numbers: dict[str, int] = {}
        self.since: float | None = None


class LocMemBuffers(Backend):
    """Dictionaries behind the backend's lock."""

    _lock: Any = threading.RLock()

    @abstractmethod
    def _now(self) -> float:
        """The backend's clock, in seconds."""

    def _buffer(self, name: str) -> _Buffer:
        buffers: dict[str, _Buffer] = self.__dict__.setdefault("_buffers", {})
        return buffers.setdefault(name, _Buffer())

    def _is_new(self, buffer: _Buffer, writer: str, number: int) -> bool:
        if buffer.numbers.get(writer) == number:
            return False
        buffer.numbers[writer] = number
        if buffer.since is None:
            buffer.since = self._now()
        return True

    def put_counts(
        self, buffer: str, writer: str, number: int, amounts: Mapping[str, int]
    ) -> None:
        with self._lock:
            found = self._buffer(buffer)
            if self._is_new(found, writer, number):
                for field, amount in amounts.items():
                    found.counts[field] = found.counts.get(field, 0) + amount

    def put_event(self, buffer: str, writer: str, number: int, event: bytes) -> None:
        with self._lock:
            found = self._buffer(buffer)
            if self._is_new(found, writer, number):
                found.events.append(event)

    def take_batch(self, buffer: str, batch: str, most: int) -> bool:
        with self._lock:
            found = self._buffer(buffer)
            if batch in found.batches:
                return True
            counts = dict(list(found.counts.items())[:most])
            events = found.events[:most]
            if not counts and not events:
                return False
            found.counts = {f: n for f, n in found.counts.items() if f not in counts}
            found.events = found.events[most:]
            found.since = self._now() if found.counts or found.events else None
            found.batches[batch] = counts, events
            return True

    def open_batches(self, buffer: str) -> list[str]:
        with self._lock:
            return list(self._buffer(buffer).batches)

    def batch_counts(self, buffer: str, batch: str) -> dict[str, int]:
        with self._lock:
            return dict(self._buffer(buffer).batches.get(batch, ({}, []))[0])

    def batch_events(self, buffer: str, batch: str) -> list[bytes]:
        with self._lock:
            return list(self._buffer(buffer).batches.get(batch, ({}, []))[1])

    def drop_batch(self, buffer: str, batch: str) -> None:
        with self._lock:
            self._buffer(buffer).batches.pop(batch, None)

    def waiting_counts(
        self, buffer: str, fields: Sequence[str]
    ) -> tuple[list[int], dict[str, list[int]]]:
        with self._lock:
            found = self._buffer(buffer)
            return [found.counts.get(field, 0) for field in fields], {
                name: [counts.get(field, 0) for field in fields]
                for name, (counts, _) in found.batches.items()
            }

    def backlog(self, buffer: str) -> Backlog:
        with self._lock:
            found = self._buffer(buffer)
            waiting = len(found.counts) + len(found.events)
            age = 0.0 if found.since is None else self._now() - found.since
            return Backlog(waiting, len(found.batches), age)
