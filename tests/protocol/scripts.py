"""What Redis does at one instant: one lookup and the scripts. Pure functions of its contents."""

from __future__ import annotations

from tests.protocol.setting import Protocol
from tests.protocol.state import (
    ALL,
    DEAD,
    MODEL,
    NEW,
    NO_STAMP,
    Entry,
    Fence,
    Guard,
    Redis,
    without,
)


def lookup(p: Protocol, redis: Redis, run: int, query: int) -> tuple[Entry | None, bool]:
    """MGET of guard, entry and stamps: `(the entry if it may be served, doomed)`."""
    doomed = blocked(p, redis.guard, run)
    return (None if doomed else valid(redis, query)), doomed


def blocked(p: Protocol, guard: Guard | None, run: int) -> bool:
    return (
        guard is None
        or (guard.run != run and p.incarnation != "unchecked")
        or guard.quarantine > 0
        or any(fence.tags == ALL for fence in guard.fences)
    )


def valid(redis: Redis, query: int) -> Entry | None:
    entry = redis.entries[query]
    stands = (redis.stamps[MODEL], redis.stamps[query])
    return entry if entry and NO_STAMP not in stands and entry.held == stands else None


def mint(
    p: Protocol,
    redis: Redis,
    run: int,
    query: int,
    new: int = NEW,
    seen: tuple[int, int] = DEAD,
    stamps: bool = True,
) -> tuple[Redis, tuple[int, int] | None]:
    """The stamps to hold while loading, or `None`: read the database, store nothing.

    A reader whose lookup met a fence stores nothing in any case, but runs the script too, without
    asking for stamps: only scripts create the guard and purge.
    """
    guarded = with_guard(p, redis, run)
    if guarded is not redis or guarded.guard.quarantine > 0:
        return guarded, None
    redis = _purged(p, redis)
    if not stamps:
        return redis, None
    if any(f.tags == ALL or MODEL in f.tags or query in f.tags for f in redis.guard.fences):
        return redis, None
    standing = list(redis.stamps)
    for tag, before in zip((MODEL, query), seen, strict=True):
        if p.mint == "overwrite" or standing[tag] == NO_STAMP:
            standing[tag] = before if p.mint == "restore" and before else new
    return redis._replace(stamps=tuple(standing)), (standing[MODEL], standing[query])


def with_guard(p: Protocol, redis: Redis, run: int) -> Redis:
    """A guard that is missing or another incarnation's is replaced by a quarantine.

    With it go fences that nobody will ever purge, so what they would have bumped is bumped now:
    every entry rests on the model's stamp.
    """
    guard = redis.guard
    if guard is not None and (p.incarnation == "unchecked" or guard.run == run):
        return redis
    redis = redis._replace(guard=Guard(run, p.life if p.quarantine else 0, ()))
    return without(redis, (MODEL,)) if p.quarantine_bumps_model else redis


def _purged(p: Protocol, redis: Redis) -> Redis:
    expired = tuple(fence for fence in redis.guard.fences if fence.left == 0)
    if not expired:
        return redis
    for fence in expired:
        if p.purge_bumps:
            redis = without(redis, (MODEL,) if fence.tags == ALL else fence.tags)
    kept = tuple(fence for fence in redis.guard.fences if fence.left > 0)
    return _with_fences(redis, () if p.purge_takes == "all" else kept)


def fence(p: Protocol, redis: Redis, run: int, token: int, tags: tuple[int, ...]) -> Redis:
    """Register first, then delete the stamps: from here on nobody mints under these tags."""
    if not p.fences:
        return redis
    redis = with_guard(p, redis, run)
    others = tuple(f for f in redis.guard.fences if f.token != token)
    redis = _with_fences(redis, (*others, Fence(token, p.life, tags)))
    return without(redis, tags) if p.fence_bumps else redis


def renew(p: Protocol, redis: Redis, run: int, token: int, tags: tuple[int, ...]) -> Redis:
    """A later deadline; a lost token is registered again, and what was minted meanwhile dies."""
    if not (redis.guard and any(f.token == token for f in redis.guard.fences)):
        return fence(p, redis, run, token, tags)
    return _with_fences(
        redis,
        tuple(f._replace(left=p.life) if f.token == token else f for f in redis.guard.fences),
    )


def release(
    p: Protocol, redis: Redis, token: int, tags: tuple[int, ...], *, bump: bool = True
) -> Redis:
    """Delete the stamps of the tags, then one's own token. Others' tokens stay."""
    if bump and p.release_bumps:
        redis = without(redis, tags)
    if redis.guard is None:
        return redis
    stay = tuple(f for f in redis.guard.fences if f.token != token)
    return _with_fences(redis, () if p.release_removes == "all" else stay)


def store(redis: Redis, query: int, value: int, held: tuple[int, int]) -> Redis:
    entries = list(redis.entries)
    entries[query] = Entry(value, held)
    return redis._replace(entries=tuple(entries))


def after_a_tick(p: Protocol, redis: Redis) -> Redis:
    guard = redis.guard
    if guard is None or p.guard_ttl:
        return redis._replace(guard=None)
    return redis._replace(
        guard=Guard(
            guard.run,
            max(0, guard.quarantine - 1),
            tuple(f._replace(left=max(0, f.left - 1)) for f in guard.fences),
        )
    )


def _with_fences(redis: Redis, fences: tuple[Fence, ...]) -> Redis:
    return redis._replace(guard=redis.guard._replace(fences=tuple(sorted(fences))))
