"""Redis/Valkey through a django-redis alias: its pool, TLS, password and Sentinel options.

Stamps are always read from the primary: a replica may still hold one that was bumped.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import msgspec
import redis
from django.core.cache import caches
from django_redis.exceptions import ConnectionInterrupted

from cachepatterns.backends import scripts
from cachepatterns.backends.base import (
    MARK_SECONDS,
    Backend,
    Heard,
    Item,
    KeyInfo,
    Moment,
    Reading,
    StreamEntry,
)
from cachepatterns.backends.lines import Lines, Words
from cachepatterns.backends.tracking import Tracking
from cachepatterns.core.guard import is_of_another, is_open
from cachepatterns.exceptions import BackendError

P = ParamSpec("P")
R = TypeVar("R")

SILENCE_SECONDS = 5.0
"""After which a connection that should answer is taken for dead, unless the alias says else."""
_SCAN_PAGE = 500
_DELETE_BATCH = 1000


def _kind(error: BaseException) -> str:
    if isinstance(error, ConnectionInterrupted) and error.__cause__ is not None:
        return _kind(error.__cause__)
    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, redis.BusyLoadingError):
        return "loading"
    if isinstance(error, redis.OutOfMemoryError):
        return "oom"
    if isinstance(error, redis.ReadOnlyError):
        return "readonly"
    if isinstance(error, redis.AuthenticationError):
        return "auth"
    if isinstance(error, (redis.ConnectionError, OSError)):
        return "connection"
    word = str(error).split(" ", 1)[0]
    return word.lower() if word.isupper() and word.isalpha() else type(error).__name__.lower()


class RedisError(BackendError):
    """Redis/Valkey did not answer a command. ``kind`` names the sort of failure."""

    def __init__(self, error: BaseException) -> None:
        self.kind = _kind(error)
        super().__init__(f"{self.kind}: {error}")


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn the client's many exceptions into the one of the contract."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (redis.RedisError, ConnectionInterrupted, OSError) as error:
            raise RedisError(error) from error

    return call


class RedisBackend(Backend):
    """The backend for ``CACHES`` aliases of django-redis."""

    name = "redis"

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._lines: Lines | None = None

    def _client(self) -> Any:
        return cast(Any, caches[self._alias]).client.get_client(write=True)

    @property
    def lines(self) -> Lines:
        """The lines that the protocol goes over; the rest takes the client's own way."""
        if self._lines is None:
            self._lines = Lines(self._client().connection_pool)
        return self._lines

    def tracking(
        self,
        prefixes: Sequence[str],
        changed: Callable[[Iterable[str] | None], object],
        lost: Callable[[], object],
    ) -> Tracking:
        def connect() -> Any:
            pool = self._client().connection_pool
            # One of its own: what is pushed would be read as the answer to somebody's command.
            options = {**pool.connection_kwargs, "protocol": 3}
            options["socket_timeout"] = options.get("socket_timeout") or SILENCE_SECONDS
            return pool.connection_class(**options)

        return Tracking(connect, prefixes, changed=changed, lost=lost)

    @_translated
    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._client().mget(keys)
        return found

    @_translated
    def read(
        self, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str] = ()
    ) -> Reading:
        values, run = self.lines.call(lambda run: ("MGET", *guards, *leases, *keys))
        guarding, first = len(guards), len(guards) + len(leases)
        # A lease names its server as an open guard does.
        opened = [is_open(raw, run) for raw in values[:first]]
        if not all(opened) and any(is_of_another(raw, run) for raw in values[:first]):
            self.lines.doubt()
        return Reading(opened[:guarding], values[first:], all(opened[guarding:]))

    @_translated
    def mint(
        self,
        guards: Sequence[str],
        keys: Sequence[str],
        stamps: Sequence[bytes],
        *,
        ttl: float,
        life: float,
    ) -> list[bytes] | None:
        found: list[bytes] | None = scripts.MINT.run(
            self.lines, [*guards, *keys], life, len(guards), _milliseconds(ttl), *stamps
        )
        return found

    @_translated
    def fence(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        renew: bool = False,
    ) -> None:
        named = [_json(tags) for tags in guards.values()]
        mode = "renew" if renew else "new"
        scripts.FENCE.run(self.lines, list(guards), life, token, *named, mode)

    @_translated
    def release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        life: float,
        mark: str = "",
        heard: Heard | None = None,
    ) -> None:
        more = (token, mark, _milliseconds(MARK_SECONDS), *keys)
        if heard is None:
            scripts.RELEASE.run(self.lines, guards, life, *more)
        else:
            scripts.RELEASE.send(self.lines, guards, life, *more, heard=_telling(heard))

    @_translated
    def tend(self, guards: Sequence[str], *, life: float, no_writers: bool = False) -> None:
        scripts.TEND.run(self.lines, guards, life, "open" if no_writers else "")

    @_translated
    def moment(self) -> Moment:
        (seconds, micros), run = self.lines.call(lambda run: ("TIME",))
        return Moment(run, int(seconds) + int(micros) / 1e6)

    @_translated
    def lease(self, key: str, since: Moment, seconds: float) -> bool:
        until, length = int((since.at + seconds) * 1000), int(seconds * 1000)
        answer = scripts.LEASE.run(self.lines, [key], seconds, since.run, until, length)
        return bool(answer == 1)

    @_translated
    def claim(self, key: str, token: str, seconds: float) -> bool:
        words: Words = ("SET", key, token, "NX", "GET", "PX", _milliseconds(seconds))
        # What stood before. Ours, where the command was sent twice: its answer had been lost.
        before, _ = self.lines.call(lambda run: words)
        return before is None or before == token.encode()

    @_translated
    def disclaim(self, key: str, token: str) -> None:
        scripts.DISCLAIM.run(self.lines, [key], 0, token)

    @_translated
    def store(
        self,
        items: Sequence[Item],
        stamp_keys: Sequence[str],
        stamp_ttl: float,
        heard: Heard | None = None,
    ) -> None:
        lasting = _milliseconds(stamp_ttl)
        commands: list[Words] = [
            ("SET", key, payload, "PX", _milliseconds(ttl)) for key, payload, ttl in items
        ]
        commands += [("PEXPIRE", key, lasting, "GT") for key in dict.fromkeys(stamp_keys)]
        if heard is None:
            self.lines.call_many(lambda run: commands)
        else:
            self.lines.send(lambda run: commands, _telling(heard))

    def settle(self) -> None:
        self.lines.hear_all()

    @_translated
    def delete(self, keys: Sequence[str]) -> int:
        client, gone = self._client(), 0
        for start in range(0, len(keys), _DELETE_BATCH):
            gone += client.unlink(*keys[start : start + _DELETE_BATCH])
        return gone

    def scan(self, pattern: str, *, limit: int) -> Generator[list[str], None, bool]:
        cursor, seen = 0, 0
        while True:
            cursor, page = self._scan_page(cursor, pattern)
            seen += _SCAN_PAGE
            if page:
                yield [key.decode() if isinstance(key, bytes) else key for key in page]
            if cursor == 0 or seen >= limit:
                return cursor == 0

    @_translated
    def _scan_page(self, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        found = self._client().scan(cursor, match=pattern, count=_SCAN_PAGE)
        return int(found[0]), found[1]

    @_translated
    def inspect(self, keys: Sequence[str]) -> list[KeyInfo]:
        if not keys:
            return []
        pipe = self._client().pipeline(transaction=False)
        for key in keys:
            pipe.pttl(key)
            pipe.memory_usage(key)
        answers = pipe.execute()
        found = []
        for key, ttl, size in zip(keys, answers[::2], answers[1::2], strict=True):
            if ttl != -2:
                found.append(KeyInfo(key, None if ttl < 0 else ttl / 1000, size or 0))
        return found

    @_translated
    def add(self, counters: Mapping[str, Mapping[str, int]], ttl: float) -> None:
        pipe = self._client().pipeline(transaction=False)
        for key, fields in counters.items():
            for field, amount in fields.items():
                pipe.hincrby(key, field, amount)
            pipe.expire(key, int(ttl))
        pipe.execute()

    @_translated
    def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        pipe = self._client().pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        return [
            {_text(field): int(amount) for field, amount in found.items()}
            for found in pipe.execute()
        ]

    @_translated
    def push(self, key: str, items: Sequence[bytes], *, keep: int, ttl: float) -> None:
        pipe = self._client().pipeline(transaction=False)
        pipe.lpush(key, *items)
        pipe.ltrim(key, 0, keep - 1)
        pipe.expire(key, int(ttl))
        pipe.execute()

    @_translated
    def newest(self, key: str, count: int) -> list[bytes]:
        found = self._client().lrange(key, 0, count - 1)
        return [item.encode() if isinstance(item, str) else item for item in found]

    @_translated
    def take_events(
        self, key: str, group: str, name: str, *, count: int, idle: float
    ) -> list[StreamEntry]:
        client = self._client()
        try:
            left = client.xautoclaim(key, group, name, _milliseconds(idle), count=count)[1]
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

    @_translated
    def settle_events(self, key: str, group: str, ids: Sequence[str]) -> None:
        self._client().xack(key, group, *ids)

    @_translated
    def park_event(self, key: str, entry: Mapping[str, str], *, keep: int) -> None:
        self._client().xadd(key, dict(entry), maxlen=keep, approximate=True)

    @_translated
    def forget_events(self, key: str, before: float) -> None:
        client = self._client()
        if client.exists(key) and all(g.get("lag") == 0 for g in client.xinfo_groups(key)):
            client.xtrim(key, minid=max(0, int(before * 1000)), approximate=False)

    @_translated
    def info(self) -> dict[str, object]:
        said = self._client().info()
        wanted = ("used_memory", "maxmemory", "maxmemory_policy", "evicted_keys", "expired_keys")
        found: dict[str, object] = {name: said[name] for name in wanted if name in said}
        version = said.get("valkey_version")
        found["version"] = f"Valkey {version}" if version else f"Redis {said.get('redis_version')}"
        found["clients"] = said.get("connected_clients")
        found["maxclients"] = said.get("maxclients")
        found["uptime"] = said.get("uptime_in_seconds")
        found["replicas"] = {
            f"{replica.get('ip')}:{replica.get('port')}": float(replica.get("lag", 0))
            for name, replica in said.items()
            if name.startswith("slave") and isinstance(replica, dict)
        }
        return found

    @_translated
    def ping(self) -> None:
        self._client().ping()


_json = msgspec.json.encode


def _telling(heard: Heard) -> Callable[[Exception | None], None]:
    return lambda error: heard(None if error is None else RedisError(error))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _lenient(value: bytes | str) -> str:
    """What others have written may be anything."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
