"""What a relay may do next: round after round, each step one statement or one command.

What waits is named by its writer: each writes one event at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import scripts
from tests.protocol.moves import RELAYS, Move, Point
from tests.protocol.setting import Setting
from tests.protocol.state import AT_REST, Redis, Relay, State, without
from tests.protocol.writers import ROWS, command, known, named

Step = tuple[Move, State]


def steps(k: Setting, s: State, me: int) -> Iterator[Step]:
    r = s.relays[me]
    step = _STEPS[r.at]
    yield from step(k, s, me, r)
    if "crash" in k.faults and r.at != "idle":
        # Its locks end with its session; another one is started in its place.
        yield _by(me, Point.CRASH, "crashes"), put(s, me, AT_REST)


def _begins(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    if k.protocol.lease_from == "after the question":
        yield from _looks(k, s, me, r)
    else:
        asking = Relay("asking", k.protocol.lease)
        yield _by(me, Point.CLOCK, "asks Redis for the time"), put(s, me, asking)


def _looks(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    waiting = _undelivered(s)
    if k.protocol.lease_from == "after the question":
        after = r._replace(at="late clock", waiting=waiting)
    else:
        after = r._replace(at="taking" if waiting else "confirmed", waiting=waiting)
    yield (
        _by(me, Point.LOOK, f"SELECT what is not delivered: {_named(waiting)}"),
        put(s, me, after),
    )


def _asks_late(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    after = r._replace(at="taking" if r.waiting else "confirmed", left=k.protocol.lease)
    yield _by(me, Point.CLOCK, "asks Redis for the time"), put(s, me, after)


def _takes(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    locked = {writer for other in s.relays for writer in other.held}
    held = tuple(writer for writer in _undelivered(s) if writer not in locked)
    if held:
        at = "taken" if k.protocol.delivery == "bump, mark" else "marking first"
        after = r._replace(at=at, held=held)
    else:
        after = _checked(k, r, ())
    text = f"SELECT … FOR UPDATE SKIP LOCKED: {_named(held)}"
    yield _by(me, Point.TAKE, text), put(s, me, after)


def _reads_marks(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    alone = {event.writer for event in s.outbox if event.alone}
    todo = tuple(w for w in r.held if w in alone or w not in s.redis.marks)
    after = r._replace(at="bumping" if todo else _bumped(k), todo=todo)
    if after.at == "checking":
        after = _checked(k, after, r.held)
    text = f"MGET marks: none of {_named(todo)}" if todo else "MGET marks: all there"
    yield _by(me, Point.MARKS, text), put(s, me, after)


def _bumps(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    tags = {tag for event in s.outbox if event.writer in r.todo for tag in event.tags}
    s = command(k, s, without(s.redis, tuple(tags)))
    after = r._replace(at=_bumped(k), todo=())
    if after.at == "checking":
        for writer in r.held:
            s = known(s, ROWS[writer + 1][1])
        after = _checked(k, after, r.held)
    text = f"DEL {named(tuple(sorted(tags)))}"
    yield _by(me, Point.BUMP, text), put(s, me, after)


def _marks(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    done = tuple(e._replace(delivered=True) if e.writer in r.held else e for e in s.outbox)
    s = s._replace(outbox=done)
    move = _by(me, Point.DELIVERED, f"UPDATE delivered: {_named(r.held)}; COMMIT")
    if r.at == "marking first":
        yield move, put(s, me, r._replace(at="taken"))
        return
    for writer in r.held:
        s = known(s, ROWS[writer + 1][1])
    yield move, put(s, me, _checked(k, r, r.held))


def _bumped(k: Setting) -> str:
    return "marking" if k.protocol.delivery == "bump, mark" else "checking"


def _checked(k: Setting, r: Relay, done: tuple[int, ...]) -> Relay:
    """What it has not delivered itself it asks for again."""
    left = tuple(writer for writer in r.waiting if writer not in done)
    confirmed = not left or k.protocol.lease_needs == "own batch"
    return r._replace(
        at="confirmed" if confirmed else "checking",
        waiting=() if confirmed else left,
        held=(),
        todo=(),
    )


def _asks_again(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    left = tuple(writer for writer in r.waiting if writer in _undelivered(s))
    after = AT_REST if left else r._replace(at="confirmed")
    yield _by(me, Point.LEFT, f"SELECT what of it is left: {_named(left)}"), put(s, me, after)


def _asks_whether_replayed(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    done = (s.redis.replayed and not r.stranger) or not k.protocol.replays
    after = r._replace(at="renewing" if done else "replaying")
    text = f"GET replayed: {'this' if done else 'another'} incarnation"
    yield _by(me, Point.REPLAYED, text), put(s, me, after)


def _replays(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    tags = {tag for event in s.outbox for tag in event.tags}
    s = command(k, s, without(s.redis, tuple(tags)))
    text = f"replays, DEL {named(tuple(sorted(tags)))}"
    yield _by(me, Point.REPLAY, text), put(s, me, r._replace(at="noting"))


def _notes(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    s = command(k, s, s.redis._replace(replayed=not r.stranger))
    yield _by(me, Point.NOTE, "SET replayed"), put(s, me, r._replace(at="renewing"))


def _renews(k: Setting, s: State, me: int, r: Relay) -> Iterator[Step]:
    left = k.protocol.lease if k.protocol.lease_from == "its renewal" else r.left
    redis: Redis = s.redis if r.stranger else scripts.lease(s.redis, left)
    text = f"LEASE: {left} ticks" if left and not r.stranger else "LEASE: too late"
    yield _by(me, Point.LEASE, text), put(command(k, s, redis), me, AT_REST)


_STEPS = {
    "idle": _begins,
    "asking": _looks,
    "late clock": _asks_late,
    "taking": _takes,
    "taken": _reads_marks,
    "bumping": _bumps,
    "marking": _marks,
    "marking first": _marks,
    "checking": _asks_again,
    "confirmed": _asks_whether_replayed,
    "replaying": _replays,
    "noting": _notes,
    "renewing": _renews,
}


def _undelivered(s: State) -> tuple[int, ...]:
    return tuple(event.writer for event in s.outbox if not event.delivered)


def _named(writers: tuple[int, ...]) -> str:
    return ", ".join(f"v{ROWS[writer + 1][1]}" for writer in writers) or "nothing"


def _by(me: int, point: Point, text: str) -> Move:
    return Move(RELAYS[me], point, me, text)


def put(s: State, me: int, r: Relay) -> State:
    return s._replace(relays=(*s.relays[:me], r, *s.relays[me + 1 :]))
