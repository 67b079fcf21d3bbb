"""What Redis does at one instant: one lookup and the scripts. Pure functions of its contents."""

from __future__ import annotations

from tests.protocol.setting import Protocol
from tests.protocol.state import (
    ALL,
    DEAD,
    MODEL,
    NEW,
    NO_STAMP,
    OVER,
    ROW,
    ROWS,
    STAYS,
    Entry,
    Fence,
    Guard,
    Redis,
    unbounded,
    without,
)

PLACES = {value: category for category, value in ROWS}
"""By a version of the row, the list that it is in."""


def lookup(p: Protocol, redis: Redis, run: int, query: int) -> tuple[Entry | None, bool]:
    """MGET of guard, lease, entry and stamps: `(the entry if it may be served, doomed)`."""
    doomed = blocked(p, redis.guard, run, query)
    return (None if doomed or not leased(p, redis) else valid(redis, query)), doomed


def leased(p: Protocol, redis: Redis) -> bool:
    return not p.outbox or not p.lease_checked or redis.lease > 0


def blocked(p: Protocol, guard: Guard | None, run: int, query: int = MODEL) -> bool:
    """Whether nothing is served that the query finds; without one, whether there is any such."""
    return (
        guard is None
        or (guard.run != run and p.incarnation != "unchecked")
        or guard.quarantine > 0
        or any(_keeps_away(fence.tags, query) for fence in guard.fences)
    )


def _keeps_away(tags: tuple[int, ...], query: int) -> bool:
    return tags == ALL or (unbounded(tags) and (query == MODEL or query in tags))


def valid(redis: Redis, query: int) -> Entry | None:
    entry = redis.entries[query]
    stands = (redis.stamps[MODEL], redis.stamps[query])
    return entry if entry and NO_STAMP not in stands and entry.held == stands else None


def touched(p: Protocol, redis: Redis, run: int) -> Redis:
    """What every script does to a guard before it does anything else (`guard.lua`).

    A guard that is missing or another incarnation's is put in quarantine. What was registered
    in one that was lost nobody will ever purge, so what it would have bumped is bumped now:
    every entry rests on the model's stamp. A quarantine that has run out ends. Who purges an
    expired registration performs the bump that it names.
    """
    guard = redis.guard
    if guard is None or (p.incarnation != "unchecked" and guard.run != run):
        kept = guard.fences if guard else ()
        redis = redis._replace(guard=Guard(run, p.life + 1 if p.quarantine else 0, kept))
        if p.quarantine_bumps_model:
            redis = without(redis, (MODEL,))
    elif guard.quarantine == OVER:
        redis = redis._replace(guard=guard._replace(quarantine=0))
    return _purged(p, redis)


def _purged(p: Protocol, redis: Redis) -> Redis:
    expired = tuple(fence for fence in redis.guard.fences if fence.left == 0)
    if not expired:
        return redis
    for fence in expired:
        if p.purge_bumps:
            redis = without(redis, _named(fence.tags))
    kept = tuple(fence for fence in redis.guard.fences if fence.left > 0)
    return _with_fences(redis, () if p.purge_takes == "all" else kept)


def mint(
    p: Protocol, redis: Redis, run: int, query: int, new: int = NEW, seen: tuple[int, int] = DEAD
) -> tuple[Redis, tuple[int, int] | None]:
    """The stamps to hold while loading, or `None`: read the database, store nothing."""
    redis = touched(p, redis, run)
    guard = redis.guard
    if guard.quarantine > 0:
        return redis, None
    if any(_forbids(p, fence.tags, query) for fence in guard.fences):
        return redis, None
    standing = list(redis.stamps)
    for tag, before in zip((MODEL, query), seen, strict=True):
        if p.mint == "overwrite" or standing[tag] == NO_STAMP:
            standing[tag] = before if p.mint == "restore" and before else new
    return redis._replace(stamps=tuple(standing)), (standing[MODEL], standing[query])


def _forbids(p: Protocol, tags: tuple[int, ...], query: int) -> bool:
    """Whether a registration forbids minting for a query. One that stays does for all: another
    writer may move the row, and its own will move it back."""
    if unbounded(tags) and (tags == ALL or p.staying_mints == "none"):
        return True
    return MODEL in tags or query in tags


def tend(p: Protocol, redis: Redis, run: int) -> Redis:
    """Run by a reader whose lookup met a fence: only scripts create guards, and purge."""
    return touched(p, redis, run)


def fence(
    p: Protocol, redis: Redis, run: int, token: int, tags: tuple[int, ...], *, again: bool = False
) -> Redis:
    """Register, and delete the stamps: from here on nobody mints under these tags.

    A writer that can not tell its tags yet deletes none. A registration that was lost is put
    back when it is renewed, and what was minted meanwhile dies.
    """
    if not p.fences:
        return redis
    redis = touched(p, redis, run)
    others = tuple(f for f in redis.guard.fences if f.token != token)
    lost = again and others == redis.guard.fences
    if tags[:1] == (STAYS,):
        mine = [f.tags for f in redis.guard.fences if f.token == token]
        tags = _as_witnessed(p, redis, tags, mine[0] if mine else (), again=again)
    redis = _with_fences(redis, (*others, Fence(token, p.life, tags)))
    if not p.fence_bumps or (unbounded(tags) and not lost):
        return redis
    return without(redis, _named(tags))


def _as_witnessed(
    p: Protocol, redis: Redis, tags: tuple[int, ...], known: tuple[int, ...], *, again: bool
) -> tuple[int, ...]:
    """A registration that leaves the row where it is, or `ALL` if nobody vouches for that."""
    if p.staying == "believed" or known == tags:
        return tags
    entry = valid(redis, ROW)
    return tags if entry and not again and PLACES[entry.value] in tags else ALL


def release(
    p: Protocol,
    redis: Redis,
    run: int,
    token: int,
    tags: tuple[int, ...],
    *,
    bump: bool = True,
    mark: bool = False,
    registered: bool = True,
) -> Redis:
    """Delete the stamps of the tags, then one's own token. Others' tokens stay.

    The mark tells the relays of it.
    """
    if bump and p.release_bumps:
        redis = without(redis, tags)
    if mark:
        redis = marked(redis, token)
    if not registered:
        return redis
    redis = touched(p, redis, run)
    stay = tuple(f for f in redis.guard.fences if f.token != token)
    return _with_fences(redis, () if p.release_removes == "all" else stay)


def store(redis: Redis, query: int, value: int, held: tuple[int, int]) -> Redis:
    entries = list(redis.entries)
    entries[query] = Entry(value, held)
    return redis._replace(entries=tuple(entries))


def marked(redis: Redis, token: int) -> Redis:
    return redis._replace(marks=tuple(sorted({*redis.marks, token})))


def lease(redis: Redis, left: int) -> Redis:
    """What comes too late sets nothing; nobody makes it shorter."""
    return redis._replace(lease=max(redis.lease, left))


def after_a_tick(p: Protocol, redis: Redis) -> Redis:
    redis = redis._replace(lease=max(0, redis.lease - 1))
    guard = redis.guard
    if guard is None or p.guard_ttl:
        return redis._replace(guard=None)
    return redis._replace(
        guard=Guard(
            guard.run,
            max(OVER, guard.quarantine - 1) if guard.quarantine else 0,
            tuple(f._replace(left=max(0, f.left - 1)) for f in guard.fences),
        )
    )


def _named(tags: tuple[int, ...]) -> tuple[int, ...]:
    """The tags that a registration names: in place of all, the one on which all rest."""
    return (MODEL,) if unbounded(tags) else tags


def _with_fences(redis: Redis, fences: tuple[Fence, ...]) -> Redis:
    return redis._replace(guard=redis.guard._replace(fences=tuple(sorted(fences))))
