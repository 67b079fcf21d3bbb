"""Where the replay takes place: the row in PostgreSQL, the keys in Valkey, and what befalls them.

The row of the model is a category; the lists are the categories below `a` and below `b`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import redis
from django.db import connection

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.conf import config
from cachepatterns.read import direct
from cachepatterns.read.question import Question
from cachepatterns.read.standing import served
from shop.servers import EmbeddedValkey
from tests.app.models import Category
from tests.protocol.replay.relays import keys as outbox_keys
from tests.protocol.state import EMPTY, MODEL, QUERIES, ROWS, A, B

LIFE = 3600.0
"""Of a registration, in seconds: none expires by itself. Time passes when the replay says so."""


class Table:
    """The row and its two lists, in the database of the tests."""

    def __init__(self) -> None:
        self.parents = {
            query: Category.objects.create(name=name, slug=f"replay-{name}").pk
            for query, name in ((A, "a"), (B, "b"))
        }
        self.row = Category.objects.create(name="row", slug="replay-row").pk
        self.reset()
        self.questions = {query: self._question(query) for query in QUERIES}

    def reset(self) -> None:
        category, value = ROWS[0]
        with connection.cursor() as cursor:
            cursor.execute(self.moving(category, value))

    def moving(self, category: int, value: int) -> str:
        """The statement that a writer sends, as a text."""
        where = self.parents[category]
        return (
            f"UPDATE app_category SET parent_id = {where}, name = 'v{value}' WHERE id = {self.row}"
        )

    def content(self) -> dict[int, int]:
        """What each list returns, by the database: asked past the cache."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT parent_id, name FROM app_category WHERE id = %s", [self.row])
            parent, name = cursor.fetchone()
        return {q: int(name[1:]) if self.parents[q] == parent else EMPTY for q in QUERIES}

    def ask(self, query: int) -> int:
        """What the cached manager returns for a list."""
        return value_of([c.name for c in Category.objects.filter(parent=self.parents[query])])

    def _question(self, query: int) -> Question:
        """What a reader of the list asks the cache, as the code itself puts it."""
        asked: list[Question] = []

        def spy(question: Question, load: Any, *asker: Any, **more: Any) -> Any:
            asked.append(question)
            return load()

        with patch.object(direct, "read", spy):
            self.ask(query)
        assert len(asked[0].stamps) == 2, "an entry rests on the model tag and its list's"
        return asked[0]

    def remove(self) -> None:
        Category.objects.filter(pk__in=[self.row, *self.parents.values()]).delete()


def value_of(names: Sequence[str]) -> int:
    assert len(names) < 2
    return int(names[0][1:]) if names else EMPTY


class Keys:
    """The keys that matter, by the names that the model gives them."""

    def __init__(self, table: Table) -> None:
        a, b = table.questions[A], table.questions[B]
        (self.guard,) = {*a.guards, *b.guards}
        self.stamps = {
            MODEL: a.stamps[0],
            A: a.stamps[1],
            B: b.stamps[1],
        }
        self.entries = {A: a.key, B: b.key}


AGE = """
local raw = redis.call('GET', KEYS[1])
if not raw then return end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 then
  if left <= tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) return end
  redis.call('PEXPIRE', KEYS[1], left - ARGV[1])
end
if string.sub(raw, 1, 1) == 'o' then return end
local guard = cjson.decode(raw)
if guard.q > 0 then guard.q = guard.q - ARGV[1] end
for _, fence in pairs(guard.f) do fence[1] = fence[1] - ARGV[1] end
redis.call('SET', KEYS[1], cjson.encode(guard), 'KEEPTTL')
"""
"""Time passes by bringing deadlines nearer."""


class Server:
    """The Valkey that the actors are connected to, and the hand that interferes with it."""

    def __init__(self, table: Table, keys: Keys, alias: str = "default") -> None:
        self.table, self.keys = table, keys
        self.backend = RedisBackend(alias)

    @property
    def client(self) -> Any:
        return self.backend._client()

    def clear(self) -> None:
        self.client.flushdb()

    def evict(self, key: str) -> None:
        self.client.delete(key)

    def age(self, seconds: float) -> None:
        self._age(self.client, seconds)

    def _age(self, client: Any, seconds: float) -> None:
        for key in (self.keys.guard, outbox_keys().lease):
            client.eval(AGE, 1, key, int(seconds * 1000))

    def lease(self, tick: float) -> int:
        """The ticks for which readers accept the lease that stands."""
        key = outbox_keys().lease
        left = self.client.pttl(key) / 1000
        return ticks(left, tick) if self.backend.read([], [], [key]).leased else 0

    def run(self) -> str:
        """Which incarnation this is."""
        return self.backend.lines.call(lambda run: ("PING",))[1]

    def told(self, query: int) -> int | None:
        """What any reader that looks up now would be told; `None` for a miss. Changes nothing."""
        question = self.table.questions[query]
        leases = [outbox_keys().lease] if config().OUTBOX else []
        found = self.backend.read(question.guards, [question.key, *question.stamps], leases)
        return self._served(found.values) if all(found.is_open) and found.leased else None

    def entry(self, query: int) -> int | None:
        """What the list's entry says if all of its stamps stand, whatever the guard says."""
        question = self.table.questions[query]
        return self._served(self.backend.get_many([question.key, *question.stamps]))

    @staticmethod
    def _served(values: Sequence[bytes | None]) -> int | None:
        rows = served(values[0], values[1:])
        if rows is None:
            return None
        name = [field.attname for field in Category._meta.concrete_fields].index("name")
        return value_of([str(row[name]) for row in rows])

    def guard(self) -> dict[str, Any] | None:
        """The guard as Redis holds it, deadlines in seconds from now."""
        raw = self.client.get(self.keys.guard)
        if raw is None:
            return None
        if raw[:1] == b"o":
            return {"r": raw[1:].decode(), "q": 0, "f": {}}
        guard: dict[str, Any] = json.loads(raw)
        seconds, micros = self.client.time()
        now = seconds * 1000 + micros // 1000
        guard["q"] = guard["q"] and (guard["q"] - now) / 1000
        fences = guard["f"] or {}  # Lua's empty table may be a list
        guard["f"] = {token: [(f[0] - now) / 1000, *f[1:]] for token, f in fences.items()}
        return guard


def ticks(seconds: float, tick: float) -> int:
    return max(0, math.ceil(seconds / tick))


class Pair(Server):
    """Two servers, one the replica of the other, and failovers that lose commands."""

    def __init__(self, table: Table, keys: Keys, folder: Path) -> None:
        self._running = ExitStack()
        options = ("--repl-diskless-sync-delay", "0")
        self.servers = [
            self._running.enter_context(EmbeddedValkey(folder / name, options=options))
            for name in ("one", "two")
        ]
        self.direct = [redis.Redis.from_url(server.url) for server in self.servers]
        self.primary, self._cut = 0, False
        self._backends = [RedisBackend("one"), RedisBackend("two")]
        super().__init__(table, keys, "one")

    def caches(self, like: dict[str, Any]) -> dict[str, Any]:
        """Both of them for the settings' CACHES, by the names of `Server.backend`."""
        named = zip(("one", "two"), self.servers, strict=True)
        return {name: {**like, "LOCATION": server.url} for name, server in named}

    def begin(self) -> None:
        """One primary, one replica that has all it has."""
        self.primary, self._cut = 0, False
        self.backend = self._backends[0]
        self.direct[0].replicaof("NO", "ONE")
        self.direct[0].client_kill_filter(_type="normal", skipme=True)
        self._follow()

    def _follow(self) -> None:
        """The other one becomes the replica; as Sentinel does, its clients are cut off."""
        other = self.direct[1 - self.primary]
        other.client_kill_filter(_type="normal", skipme=True)
        other.replicaof("127.0.0.1", str(self.servers[self.primary].port))
        self._cut = False

    def cut(self) -> None:
        """From here on the replica gets nothing any more."""
        primary = self.direct[self.primary]
        primary.incr("replay:synchronised")
        while not primary.wait(1, 1000):
            primary.incr("replay:synchronised")
        # It is promoted already, which nobody can tell before he asks it.
        self.direct[1 - self.primary].replicaof("NO", "ONE")
        self._cut = True

    def age(self, seconds: float) -> None:
        super().age(seconds)
        if self._cut:  # time passes there too
            self._age(self.direct[1 - self.primary], seconds)

    def fail_over(self, *, again: bool) -> None:
        if not self._cut:
            self.cut()
        self.direct[self.primary].client_kill_filter(_type="normal", skipme=True)
        self.primary = 1 - self.primary
        self.backend = self._backends[self.primary]
        self._cut = False
        if again:
            self._follow()

    def stop(self) -> None:
        for client in self.direct:
            client.close()
        self._running.close()
