"""The mutations of the model, made to the real code: that a replay can see a fault at all.

Each is as small as the mutation that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings
from msgspec.structs import replace

from cachepatterns import transactions
from cachepatterns.backends import incarnation
from cachepatterns.backends.base import Reading
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store, current_store
from cachepatterns.core.stamp import new_stamp
from cachepatterns.read import eligibility, loading, lookup
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, pending_writes
from cachepatterns.write import dispatch, telling
from cachepatterns.write.changes import closing_tags
from cachepatterns.write.fence import Fence
from tests.app.models import Category
from tests.protocol.moves import Point
from tests.protocol.replay.actors import acting
from tests.protocol.replay.outbox_sabotage import OUTBOX_SABOTAGES
from tests.protocol.replay.tampering import Sabotage, in_script, replaced, script


@contextmanager
def guard_expires() -> Iterator[None]:
    with (
        script(
            "guard", ("redis.call('SET', key, text)", "redis.call('SET', key, text, 'PX', life)")
        ),
        script("fence", ("'SET', KEYS[1], text", "'SET', KEYS[1], text, 'PX', ARGV[2]")),
        script("release", ("'o' .. ARGV[1])\n  if", "'o' .. ARGV[1], 'PX', ARGV[2])\n  if")),
    ):
        yield


# -- readers --------------------------------------------------------------------------------


@contextmanager
def stamps_after_query() -> Iterator[None]:
    mint, load_once = lookup.mint_missing, lookup.load_once

    def not_yet(*args: Any) -> Any:
        return args

    def load_first(store: Any, question: Any, stamps: Any, load: Any, *rest: Any) -> Any:
        rows = load()
        held = mint(*stamps)
        if held is None:
            return rows
        return load_once(store, question, held, lambda: rows, *rest)

    with (
        patch.object(lookup, "mint_missing", not_yet),
        patch.object(lookup, "load_once", load_first),
    ):
        yield


@contextmanager
def guard_last() -> Iterator[None]:
    read = RedisBackend.read

    def in_two_trips(self: RedisBackend, guards: Any, keys: Any, leases: Any = ()) -> Reading:
        found = read(self, [], keys, leases)
        actor = acting()
        if actor is not None:
            actor.reach(Point.GUARD)
        return replace(found, is_open=read(self, guards, []).is_open)

    with patch.object(RedisBackend, "read", in_two_trips):
        yield


@contextmanager
def refused_store_late() -> Iterator[None]:
    from_database = lookup.from_database

    def and_store(question: Any, load: Any, started: float, how: str, reason: str) -> Any:
        rows = from_database(question, load, started, how, reason)
        if reason == "writer registered":
            keys, store = question.stamps, current_store()
            fresh = [new_stamp() for _ in keys]
            stamps = store.mint(question.guards, keys, fresh, question.ttl)
            if stamps is not None:
                payload = loading.make_entry(question, rows, stamps, question.ttl, 0.0)
                store.store([(question.key, payload, question.ttl)], keys, question.ttl)
        return rows

    with patch.object(lookup, "from_database", and_store):
        yield


@contextmanager
def refused_share() -> Iterator[None]:
    from_database = lookup.from_database

    def or_share(question: Any, load: Any, started: float, how: str, reason: str) -> Any:
        name = (question.key, "no stamps")
        land = loading.flights.lead(name)
        if land is None:
            return loading.flights.wait(name, 5.0)
        rows: Any = None
        try:
            rows = from_database(question, load, started, how, reason)
            actor = acting()
            if actor is not None:
                actor.reach(Point.RETURN)
            return rows
        finally:
            land(rows)

    with patch.object(lookup, "from_database", or_share):
        yield


def mint_what_was_seen(
    store: Any, guards: Any, keys: Any, standing: Sequence[bytes | None], ttl: float
) -> Any:
    return store.mint(guards, keys, [seen or new_stamp() for seen in standing], ttl)


# -- writers --------------------------------------------------------------------------------


def deliver_now(connection: BaseDatabaseWrapper) -> None:
    pending = pending_writes(connection)
    if pending is not None:
        pending()


@contextmanager
def release_before_commit(attribute: str) -> Iterator[None]:
    original = getattr(BaseDatabaseWrapper, attribute)

    def early(self: BaseDatabaseWrapper, *args: Any) -> Any:
        deliver_now(self)
        return original(self, *args)

    with patch.object(BaseDatabaseWrapper, attribute, early):
        yield


@contextmanager
def bump_before_statement() -> Iterator[None]:
    @contextmanager
    def early(
        connection: BaseDatabaseWrapper,
        model_tags: Iterable[str],
        ahead: Fence | None = None,
        **kwargs: object,
    ) -> Iterator[None]:
        fence = ahead or Fence()
        if ahead is None:
            fence.add_everything(model_tags)
        policy = site.policy_for(Category)
        assert policy is not None
        fence.release(closing_tags(policy, database_id(connection)))
        yield None

    with (
        patch.object(telling, "statement_fence", early),
        patch.object(telling, "record", lambda *args: None),
    ):
        yield


@contextmanager
def old_values_of_the_instance() -> Iterator[None]:
    """Every writer has loaded the row when it stood in list a."""
    told_tags = telling.told_tags

    def outdated(policy: Any, database: str, rows: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM app_category WHERE slug = 'replay-a'")
            (loaded,) = cursor.fetchone()
        parent = [field.attname for field in policy.told].index("parent_id")
        told = [((*b[:parent], loaded, *b[parent + 1 :]), a) for b, a in rows]
        return told_tags(policy, database, told)

    with patch.object(telling, "told_tags", outdated):
        yield


# -- the server's identity ------------------------------------------------------------------


@contextmanager
def incarnation_by(kept: slice) -> Iterator[None]:
    """Only a part of the two ids that name an incarnation is looked at."""
    ask = incarnation.Incarnation.ask

    def partly(self: Any, connection: Any) -> str:
        self.run = ask(self, connection)[kept] or "any"
        return self.run

    with (
        patch.object(incarnation.Incarnation, "ask", partly),
        script("guard", ("local asked = false", "local asked = true")),  # nor by the scripts
    ):
        yield


@contextmanager
def setting(**changed: Any) -> Iterator[None]:
    with override_settings(CACHEPATTERNS={**settings.CACHEPATTERNS, **changed}):
        yield


ID = incarnation.ID_LENGTH
KEEP_STAMP = in_script("guard", ("if head then", "if false then"))

SABOTAGES: Mapping[str, tuple[str, Sabotage]] = {
    "no fence": (
        "`fence.lua` does nothing",
        in_script(
            "fence",
            ("for i = 1, #KEYS do", "for i = 1, 0 do"),
            ("if #KEYS == 1 and ARGV[5]", "if false and ARGV[5]"),
        ),
    ),
    "stamps read after the query": ("`lookup` mints after it has loaded", stamps_after_query),
    "release removes every fence": (
        "`release.lua` empties the guard",
        in_script(
            "release",
            ("if guard.f[token] then\n    guard.f[token] = nil", "do\n    guard.f = {}"),
            ("redis.call('GET', KEYS[1]) == alone", "true"),
        ),
    ),
    "release leaves stamps": (
        "`release.lua` deletes no stamps",
        in_script("release", ("delete(ARGV, 7)", ""), ("if #ARGV > 6 then", "if false then")),
    ),
    "fence leaves stamps": (
        "`fence.lua` deletes no stamps",
        in_script(
            "fence",
            ("if lost or not spares_stamps(fence)", "if false"),
            ("if names then", "if false then"),
        ),
    ),
    "no quarantine when the guard is missing": (
        "`guard.lua` makes a guard without one",
        in_script("guard", ("q = now + life", "q = 0")),
    ),
    "guard read last, on its own": ("`Backend.read` in two round trips", guard_last),
    "no incarnation check": (
        "`Incarnation` is the same for all servers",
        lambda: incarnation_by(slice(0)),
    ),
    "unknown COMMIT taken for a rollback": (
        "`_is_over` of a dead connection is true",
        replaced(transactions, "_is_over", lambda driver: True),
    ),
    "an interrupted autocommit statement taken for a rollback": (
        "every exception is one of `REFUSALS`",
        replaced(dispatch, "REFUSALS", BaseException),
    ),
    "a refused reader stores late": (
        "`_from_database` mints and stores after it has loaded",
        refused_store_late,
    ),
    "fence == fence: refused readers share a load": (
        "`_from_database` shares its load",
        refused_share,
    ),
    "purge without bump": (
        "`guard.lua` purges, and bumps nothing",
        in_script(
            "guard", ("if fence[1] <= now then\n      bump(fence)", "if fence[1] <= now then")
        ),
    ),
    "minting puts back what the lookup saw": (
        "`mint_missing` offers the stamps of its lookup",
        replaced(lookup, "mint_missing", mint_what_was_seen),
    ),
    "release at the end of a savepoint": (
        "pending writes are delivered at `savepoint_commit`",
        lambda: release_before_commit("savepoint_commit"),
    ),
    "bump before COMMIT only": (
        "pending writes are delivered before `commit`",
        lambda: release_before_commit("commit"),
    ),
    "bump before the autocommit statement only": (
        "`statement_fence` releases before its statement",
        bump_before_statement,
    ),
    "old value from the instance": (
        "`told_tags` gets the values that were loaded",
        old_values_of_the_instance,
    ),
    "one deadline for the whole guard": (
        "`guard.lua` purges all with the first",
        in_script(
            "guard", ("bump(fence)\n      guard.f[token] = nil", "bump(fence)\n      guard.f = {}")
        ),
    ),
    "the guard expires with a fence's life": ("`guard.lua` gives guards a TTL", guard_expires),
    "a transaction stores what it reads after its own write": (
        "`why_not_in_transaction` finds no reason",
        replaced(eligibility, "why_not_in_transaction", lambda connection: ""),
    ),
    "who meets a fence runs no script": (
        "`Store.tend` does nothing",
        replaced(Store, "tend", lambda self, guards: None),
    ),
    "quarantine keeps the model's stamp, guard evicted": (
        "`guard.lua` deletes no stamp",
        KEEP_STAMP,
    ),
    "quarantine keeps the model's stamp, failover, autocommit": ("the same", KEEP_STAMP),
    "quarantine keeps the model's stamp, failover, transaction": ("the same", KEEP_STAMP),
    "incarnation is the server's run_id": (
        "`Incarnation` is the `run_id` alone",
        lambda: incarnation_by(slice(ID)),
    ),
    "Redis is away at the fence, the write goes on": (
        'nothing: `ON_REDIS_ERROR = "database"`',
        lambda: setting(ON_REDIS_ERROR="database"),
    ),
    "the database does not end transactions": ("nothing: the promise is broken", nullcontext),
    "an autocommit statement may be late": ("nothing: the promise is broken", nullcontext),
    **OUTBOX_SABOTAGES,
}
"""By the mutation's name: in words, and how it is made. Where nothing is changed in the code, what
they lack is a promise of the surroundings, which the replay then breaks too, or a setting."""
