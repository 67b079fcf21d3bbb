"""What stands in Redis beside entries and their protocol: statistics, other services' events."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import redis

from cachepatterns.backends.base import Backend, StreamEntry
from cachepatterns.backends.errors import translated


class RedisRecords(Backend):
    """Counters, lists and streams, over the client's own connections."""

    @abstractmethod
    def _client(self) -> Any:
        """The client of the alias, for the primary."""

    @translated
    def add(self, counters: Mapping[str, Mapping[str, int]], ttl: float) -> None:
        pipe = self._client().pipeline(transaction=False)
        for key, fields in counters.items():
            for field, amount in fields.items():
                pipe.hincrby(key, field, amount)
            pipe.expire(key, int(ttl))
        pipe.execute()

    @translated
    def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        pipe = self._client().pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        return [
            {_text(field): int(amount) for field, amount in found.items()}
            for found in pipe.execute()
        ]

    @translated
    def push(self, key: str, items: Sequence[bytes], *, keep: int, ttl: float) -> None:
        pipe = self._client().pipeline(transaction=False)
        pipe.lpush(key, *items)
        pipe.ltrim(key, 0, keep - 1)
        pipe.expire(key, int(ttl))
        pipe.execute()

    @translated
    def newest(self, key: str, count: int) -> list[bytes]:
        found = self._client().lrange(key, 0, count - 1)
        return [item.encode() if isinstance(item, str) else item for item in found]

    @translated
    def take_events(
        self, key: str, group: str, name: str, *, count: int, idle: float
    ) -> list[StreamEntry]:
        client = self._client()
        try:
            left = client.xautoclaim(key, group, name, milliseconds(idle), count=count)[1]
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            if not client.exists(key):
                return []
            with contextlib.suppress(redis.ResponseError):  # another one has just made it
                client.xgroup_create(key, group, id="0", mkstream=True)
            left = []
        found = client.xreadgroup(group, name, {key: ">"}, count=count)
        if isinstance(found, dict):  # RESP3
            new = [entry for pages in found.values() for page in pages for entry in page]
        else:
            new = [entry for _, page in found for entry in page]
        return [
            (_text(number), {_lenient(f): _lenient(v) for f, v in (given or {}).items()})
            for number, given in [*left, *new]
        ]

    @translated
    def settle_events(self, key: str, group: str, ids: Sequence[str]) -> None:
        self._client().xack(key, group, *ids)

    @translated
    def park_event(self, key: str, entry: Mapping[str, str], *, keep: int) -> None:
        self._client().xadd(key, dict(entry), maxlen=keep, approximate=True)

    @translated
    def forget_events(self, key: str, before: float) -> None:
        client = self._client()
        if client.exists(key) and all(g.get("lag") == 0 for g in client.xinfo_groups(key)):
            client.xtrim(key, minid=max(0, int(before * 1000)), approximate=False)


def milliseconds(seconds: float) -> int:
    """As commands take a duration; never none at all."""
    return max(1, int(seconds * 1000))


def _lenient(value: bytes | str) -> str:
    """What others have written may be anything."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
