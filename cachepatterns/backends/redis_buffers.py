"""Buffers in Redis: a hash or a stream that waits, one for each open batch, and their list."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from cachepatterns.backends import scripts
from cachepatterns.backends.buffers import (
    WRITER_SECONDS,
    Backlog,
    batch_key,
    batches_key,
    since_key,
    waiting_key,
    writer_key,
)
from cachepatterns.backends.errors import translated
from cachepatterns.backends.lines import Lines
from cachepatterns.backends.records import RedisRecords, milliseconds

_EVENT = b"event"


class RedisBuffers(RedisRecords):
    """The scripts do what must not be torn apart."""

    @property
    @abstractmethod
    def lines(self) -> Lines:
        """What commands go over that may be sent twice."""

    @translated
    def put_counts(
        self, buffer: str, writer: str, number: int, amounts: Mapping[str, int]
    ) -> None:
        words = [word for pair in amounts.items() for word in pair]
        self._put(buffer, writer, number, "count", *words)

    @translated
    def put_event(self, buffer: str, writer: str, number: int, event: bytes) -> None:
        self._put(buffer, writer, number, "event", event)

    def _put(self, buffer: str, writer: str, number: int, *words: Any) -> None:
        keys = [waiting_key(buffer), since_key(buffer), writer_key(buffer, writer)]
        scripts.PUT.run(self.lines, keys, 0, number, milliseconds(WRITER_SECONDS), *words)

    @translated
    def take_batch(self, buffer: str, batch: str, most: int) -> bool:
        keys = [waiting_key(buffer), since_key(buffer), batches_key(buffer)]
        keys.append(batch_key(buffer, batch))
        return bool(scripts.TAKE.run(self.lines, keys, 0, batch, most))

    @translated
    def open_batches(self, buffer: str) -> list[str]:
        found = self._client().hgetall(batches_key(buffer))
        return [name.decode() for name, _ in sorted(found.items(), key=lambda each: int(each[1]))]

    @translated
    def batch_counts(self, buffer: str, batch: str) -> dict[str, int]:
        found = self._client().hgetall(batch_key(buffer, batch))
        return {field.decode(): int(amount) for field, amount in found.items()}

    @translated
    def batch_events(self, buffer: str, batch: str) -> list[bytes]:
        found = self._client().xrange(batch_key(buffer, batch))
        return [fields.get(_EVENT, b"") for _, fields in found]

    @translated
    def drop_batch(self, buffer: str, batch: str) -> None:
        scripts.DROP.run(self.lines, [batches_key(buffer), batch_key(buffer, batch)], 0, batch)

    @translated
    def waiting_counts(
        self, buffer: str, fields: Sequence[str]
    ) -> tuple[list[int], dict[str, list[int]]]:
        keys = [waiting_key(buffer), batches_key(buffer)]
        waiting, *more = scripts.PEEK.run(self.lines, keys, 0, batch_key(buffer, ""), *fields)
        found = {
            name.decode(): [int(amount or 0) for amount in amounts]
            for name, amounts in zip(more[::2], more[1::2], strict=True)
        }
        return [int(amount or 0) for amount in waiting], found

    @translated
    def backlog(self, buffer: str) -> Backlog:
        keys = [waiting_key(buffer), since_key(buffer), batches_key(buffer)]
        waiting, batches, age = scripts.BACKLOG.run(self.lines, keys, 0)
        return Backlog(waiting, batches, age / 1000)
