"""What must be true in every state, asked by looking at what any reader would be told now.

A lookup is one instant, so "a read that starts after a commit never returns an older value"
says: in no state is a hit anything but the database's present content. Loads that readers share
take longer; whether those were right is noted by the reader (`State.wrong`).
"""

from __future__ import annotations

from functools import lru_cache

from tests.protocol import scripts
from tests.protocol.setting import Protocol, Setting
from tests.protocol.state import (
    EVERY_QUERY,
    NAMES,
    NEW,
    QUERIES,
    Event,
    Redis,
    State,
    oldest,
    shown,
    without,
)

Past = tuple[tuple[int, ...], ...]
"""For each query what it has returned, from the initial row to the present one."""


def violated(k: Setting, s: State) -> str:
    if s.wrong:
        return s.wrong
    past = tuple(tuple(s.content(query, v) for v in range(len(s.history))) for query in k.queries)
    found = _told(k.protocol, s.redis, s.run, past, oldest(s))
    busy = any(w.at not in ("new", "done") for w in s.writers)
    if found or busy or any(relay.at != "idle" for relay in s.relays):
        return found
    return _settled(k.protocol, s.redis, s.run, past, s.outbox)


def _told(p: Protocol, redis: Redis, run: int, past: Past, since: int) -> str:
    """strict and never: what a lookup now hits. `since` is the oldest version that it may be."""
    for query, contents in zip(EVERY_QUERY, past, strict=False):
        entry, _ = scripts.lookup(p, redis, run, query)
        if entry and entry.value not in contents[since:]:
            return (
                f"{'strict' if entry.value in contents else 'never'}: any reader that looks up "
                f"list {NAMES[query]} now is told {shown(entry.value)}, "
                f"the database has {shown(contents[-1])}"
            )
    return ""


@lru_cache(maxsize=1 << 17)
def _settled(p: Protocol, redis: Redis, run: int, past: Past, outbox: tuple[Event, ...]) -> str:
    """no stale for good: nobody writes any more, all fences and quarantines run out, and relays
    deliver.

    And the other half of it, without which a cache that never hits would pass: reads that
    follow each other undisturbed are hits again.
    """
    for _ in range(3):
        for _ in range(p.life):
            redis = scripts.after_a_tick(p, redis)
        for _ in QUERIES:
            if p.doomed_tends or not scripts.blocked(p, redis.guard, run):
                redis = scripts.tend(p, redis, run)
    if p.outbox:
        redis = _relayed(p, redis, outbox)
    if stale := _told(p, redis, run, past, len(past[0]) - 1):
        return f"time passes, everybody looks: {stale}, for good"
    for query, contents in zip(EVERY_QUERY, past, strict=False):
        redis, held = scripts.mint(p, redis, run, query, NEW)
        if held:
            redis = scripts.store(redis, query, contents[-1], held)
        if not scripts.lookup(p, redis, run, query)[0]:
            return f"progress: time passes, but nobody will ever hit list {NAMES[query]} again"
    return ""


def _relayed(p: Protocol, redis: Redis, outbox: tuple[Event, ...]) -> Redis:
    """Undisturbed rounds of a relay."""
    for event in outbox:
        vouched_for = event.writer in redis.marks and not event.alone
        if (p.replays and not redis.replayed) or not (event.delivered or vouched_for):
            redis = without(redis, event.tags)
    return scripts.lease(redis, p.lease)
