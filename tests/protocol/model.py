"""All that may happen next: two writers, two readers, relays, the clock and the faults.

A crash of a reader needs no step of its own: among all orders of steps there are those in which
it never goes on. Nothing is counted down, neither faults nor reads nor time; only the writers
end, after one write each.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import readers, relays, scripts, writers
from tests.protocol.moves import Move, Point
from tests.protocol.setting import Setting
from tests.protocol.state import (
    AT_REST,
    BOUNDLESS,
    EMPTY,
    IDLE,
    NAMES,
    NO_STAMP,
    ROWS,
    Entry,
    Guard,
    Redis,
    State,
    Writer,
    rename,
    without,
)

Step = tuple[Move, State]

COLD = Redis(None, (NO_STAMP,) * 4, (None,) * 4)
_LISTS = Entry(0, (1, 1)), Entry(EMPTY, (1, 1))
WARM = Redis(Guard(0, 0, ()), (1, 1, 1, NO_STAMP), (None, *_LISTS, None))
WITH_ROW = Redis(Guard(0, 0, ()), (1, 1, 1, 1), (None, *_LISTS, Entry(0, (1, 1))))


def starts(k: Setting) -> Iterator[Step]:
    actors = tuple(Writer("new", kind) for kind in k.kinds)
    warm = WITH_ROW if k.rows else WARM
    if k.protocol.outbox:
        warm = warm._replace(lease=k.protocol.lease, replayed=True)
    for name, redis in (("warm", warm), ("cold", COLD)):
        move = Move("", Point.START, 0, f"{name}: the row is in list a with v0")
        idle = (AT_REST,) * (k.relays if k.protocol.outbox else 0)
        yield (
            move,
            State(ROWS[:1], -1, 0, redis, (), actors, (IDLE, IDLE), relays=idle),
        )


def is_warm(start: State) -> bool:
    return start.redis.guard is not None


def steps(k: Setting, state: State) -> Iterator[Step]:
    for number in range(len(state.writers)):
        for move, after in writers.steps(k, state, number):
            yield move, rename(after)
    for number in range(k.readers):
        if number == 1 and state.readers[0] == state.readers[1]:
            continue  # what the first may do
        for move, after in readers.steps(k, state, number):
            yield move, rename(after)
    for number in range(len(state.relays)):
        if number == 1 and state.relays[0] == state.relays[1]:
            continue
        for move, after in relays.steps(k, state, number):
            yield move, rename(after)
    for move, after in _surroundings(k, state):
        yield move, rename(after)


def _surroundings(k: Setting, s: State) -> Iterator[Step]:
    yield _befalls(Point.TIME, "time passes"), _tick(k, s)
    redis = s.redis
    if "evict" in k.faults:
        if redis.guard:
            move = _befalls(Point.EVICT_GUARD, "the guard is evicted")
            yield move, _evicted(k, s, redis._replace(guard=None))
        for tag, stamp in enumerate(redis.stamps):
            if stamp:
                text = f"the stamp of tag {NAMES[tag]} is evicted"
                yield (
                    _befalls(Point.EVICT_STAMP, text, tag),
                    _evicted(k, s, without(redis, (tag,))),
                )
        for query in k.queries:
            if redis.entries[query]:
                entries = list(redis.entries)
                entries[query] = None
                move = _befalls(
                    Point.EVICT_ENTRY, f"the entry of list {NAMES[query]} is evicted", query
                )
                yield move, _evicted(k, s, redis._replace(entries=tuple(entries)))
        if redis.lease:
            move = _befalls(Point.EVICT_LEASE, "the lease is evicted")
            yield move, _evicted(k, s, redis._replace(lease=0))
        for token in redis.marks:
            move = _befalls(Point.EVICT_MARK, f"the mark of writer {token + 1} is evicted", token)
            marks = tuple(mark for mark in redis.marks if mark != token)
            yield move, _evicted(k, s, redis._replace(marks=marks))
    if "flush" in k.faults and redis != COLD:
        yield _befalls(Point.FLUSH, "FLUSHALL"), _evicted(k, s, COLD)
    if "failover" in k.faults:
        for lost, survived in enumerate((redis, *s.unreplicated)):
            move = _befalls(Point.FAILOVER, f"failover, {lost} commands lost", lost)
            yield move, _failed_over(k, s, survived)


def _befalls(point: Point, text: str, on: int = 0) -> Move:
    return Move("", point, on, text)


def _evicted(k: Setting, s: State, redis: Redis) -> State:
    return writers.command(k, s, redis)


def _failed_over(k: Setting, s: State, redis: Redis) -> State:
    """Another server, with another run id: a process's own, or a new one at each promotion.

    Clients lose their connections, and learn the id of the server that they connect to next.
    """
    s = s._replace(unreplicated=(), redis=redis)
    if k.protocol.incarnation == "process":
        return s._replace(run=1 - s.run)
    # The present run is always called 0, so that states stay finite.
    foreign = redis.guard and redis.guard._replace(run=1)
    redis = redis._replace(guard=foreign, lease=0, replayed=False)
    strangers = tuple(r._replace(stranger=r.at != "idle") for r in s.relays)
    return s._replace(redis=redis, relays=strangers)


def _tick(k: Setting, s: State) -> State:
    """A tick passes; the database ends the transactions whose fences would expire by it."""
    pasts = tuple(scripts.after_a_tick(k.protocol, past) for past in s.unreplicated)
    s = s._replace(
        redis=scripts.after_a_tick(k.protocol, s.redis),
        unreplicated=pasts,
        quiet=tuple(left if left == BOUNDLESS else max(0, left - 1) for left in s.quiet),
        relays=tuple(r._replace(left=max(0, r.left - 1)) for r in s.relays),
    )
    for number, w in enumerate(s.writers):
        if w.left == 0:
            continue
        left = w.left - 1
        open_still = w.at in ("updated", "fenced", "early", "uncertain")
        whole = w.kind in ("transaction", "foreseeing")
        if left == 0 and whole and open_still and k.protocol.transactions_end:
            s = writers.ended(s, number)
        else:
            s = writers.put(s, number, w._replace(left=left))
    return s
