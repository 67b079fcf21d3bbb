"""Redis/Valkey through a django-redis alias: its pool, TLS, password and Sentinel options.

Stamps are always read from the primary: a replica may still hold one that was bumped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec
from django.core.cache import caches

from cachepatterns.backends import scripts
from cachepatterns.backends.base import (
    MARK_SECONDS,
    Heard,
    Item,
    KeyInfo,
    Moment,
    Reading,
)
from cachepatterns.backends.errors import FAILURES, RedisError, translated
from cachepatterns.backends.lines import Lines, Packed, Words, lines_of
from cachepatterns.backends.records import milliseconds
from cachepatterns.backends.redis_buffers import RedisBuffers
from cachepatterns.backends.tracking import Tracking
from cachepatterns.core.guard import is_of_another, is_open, open_on

SILENCE_SECONDS = 5.0
"""After which a connection that should answer is taken for dead, unless the alias says else."""
_SCAN_PAGE = 500
_DELETE_BATCH = 1000


class RedisBackend(RedisBuffers):
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
            self._lines = lines_of(self._client().connection_pool)
        return self._lines

    def tracking(
        self,
        changed: Callable[[Iterable[str] | None], object],
        lost: Callable[[], object],
    ) -> Tracking:
        def connect() -> Any:
            pool = self._client().connection_pool
            # One of its own: what is pushed would be read as the answer to somebody's command.
            options = {**pool.connection_kwargs, "protocol": 3}
            options["socket_timeout"] = options.get("socket_timeout") or SILENCE_SECONDS
            return pool.connection_class(**options)

        return Tracking(connect, changed=changed, lost=lost)

    @translated
    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._client().mget(keys)
        return found

    def read(
        self, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str] = ()
    ) -> Reading:
        try:  # as `translated` does it: every hit comes by here
            values, run = self.lines.call(lambda run: ("MGET", *guards, *leases, *keys))
        except FAILURES as error:
            raise RedisError(error) from error
        guarding, first = len(guards), len(guards) + len(leases)
        # A lease names its server as an open guard does.
        if values[:first] == [open_on(run)] * first:  # as they mostly are
            return Reading([True] * guarding, values[first:])
        opened = [is_open(raw, run, keys) for raw in values[:first]]
        if not all(opened) and any(is_of_another(raw, run) for raw in values[:first]):
            self.lines.doubt()
        return Reading(opened[:guarding], values[first:], all(opened[guarding:]))

    @translated
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
            self.lines, [*guards, *keys], life, len(guards), milliseconds(ttl), *stamps
        )
        return found

    @translated
    def fence(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        renew: bool = False,
    ) -> bytes:
        mode = "renew" if renew else "new"
        said = scripts.fence().run(self.lines, list(guards), life, token, *_named(guards), mode)
        return said if type(said) is bytes else b""

    @translated
    def fence_ahead(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        witnessed: Sequence[str | bytes] = (),
    ) -> Callable[[], bytes]:
        more = (token, *_named(guards), "new", *witnessed)
        answer = scripts.fence().ask(self.lines, list(guards), life, *more)
        return partial(_answer, answer)

    @translated
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
        if heard is None:
            more = (token, mark, milliseconds(MARK_SECONDS), alone, *keys)
            scripts.release().run(self.lines, guards, life, *more)
            return
        if not isinstance(made, Packed):
            made = self.make_release(token, guards, keys, life=life, mark=mark, alone=alone)
        self.lines.send(made, _telling(heard))

    def make_release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        life: float,
        mark: str = "",
        alone: bytes = b"",
    ) -> Packed:
        more = (token, mark, milliseconds(MARK_SECONDS), alone, *keys)
        return scripts.release().packed(self.lines, guards, life, *more)

    @translated
    def tend(self, guards: Sequence[str], *, life: float, no_writers: bool = False) -> None:
        scripts.TEND.run(self.lines, guards, life, "open" if no_writers else "")

    @translated
    def moment(self) -> Moment:
        (seconds, micros), run = self.lines.call(lambda run: ("TIME",))
        return Moment(run, int(seconds) + int(micros) / 1e6)

    @translated
    def lease(self, key: str, since: Moment, seconds: float) -> bool:
        until, length = int((since.at + seconds) * 1000), int(seconds * 1000)
        answer = scripts.LEASE.run(self.lines, [key], seconds, since.run, until, length)
        return bool(answer == 1)

    @translated
    def claim(self, key: str, token: str, seconds: float) -> bool:
        words: Words = ("SET", key, token, "NX", "GET", "PX", milliseconds(seconds))
        # What stood before. Ours, where the command was sent twice: its answer had been lost.
        before, _ = self.lines.call(lambda run: words)
        return before is None or before == token.encode()

    @translated
    def disclaim(self, key: str, token: str) -> None:
        scripts.DISCLAIM.run(self.lines, [key], 0, token)

    @translated
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
        commands: list[Words] = [
            ("SET", key, payload, "PX", milliseconds(ttl)) for key, payload, ttl in items
        ]
        if stamp_keys:
            keys = dict.fromkeys(stamp_keys)
            commands.append(("EVAL", scripts.PROLONG, len(keys), *keys, milliseconds(stamp_ttl)))
        commands += [("PEXPIRE", key, milliseconds(brief_ttl), "LT") for key in brief]
        if not commands:
            return
        if heard is None:
            self.lines.call_many(lambda run: commands)
        else:
            self.lines.send(lambda run: commands, _telling(heard))

    @translated
    def prolong(self, key: str, payload: bytes, ttl: float, heard: Heard | None = None) -> None:
        words: Words = ("SET", key, payload, "XX", "PX", milliseconds(ttl))
        if heard is None:
            self.lines.call(lambda run: words)
        else:
            self.lines.send(lambda run: (words,), _telling(heard))

    def settle(self, *, wait: bool = True) -> None:
        self.lines.hear_all(wait=wait)

    @translated
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

    @translated
    def _scan_page(self, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        found = self._client().scan(cursor, match=pattern, count=_SCAN_PAGE)
        return int(found[0]), found[1]

    @translated
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

    @translated
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

    @translated
    def ping(self) -> None:
        self._client().ping()


@translated
def _answer(answer: Callable[[], object]) -> bytes:
    said = answer()
    return said if type(said) is bytes else b""


def _named(guards: Mapping[str, Sequence[str]]) -> list[bytes]:
    return [msgspec.json.encode(tags) for tags in guards.values()]


def _telling(heard: Heard) -> Callable[[Exception | None], None]:
    return lambda error: heard(None if error is None else RedisError(error))
