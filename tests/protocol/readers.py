"""What a reader may do next. It reads again and again, a list of its choice each time.

With `Setting.lookups` off, a reader may run MINT whenever it likes, without having looked up and
missed. That allows more than the protocol does, in half as many states: what holds for those
readers holds for ours. (Hits need no reader at all, see `invariants.py`.)
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import scripts
from tests.protocol.moves import READERS, Move, Point
from tests.protocol.setting import Setting
from tests.protocol.state import (
    DEAD,
    IDLE,
    MODEL,
    NAMES,
    NO_STAMP,
    Reader,
    State,
    oldest,
    shown,
)
from tests.protocol.writers import command, put

Step = tuple[Move, State]


def steps(k: Setting, s: State, me: int) -> Iterator[Step]:
    r = s.readers[me]
    if r.at == "idle" and k.lookups:
        for query in k.queries:
            yield from _looks_up(k, s, me, query)
    elif r.at == "idle":
        yield from _tends(k, s, me)
        for query in k.queries:
            missed = Reader("missed", query, oldest(s))
            yield from _mints(k, s, me, missed, "minted")
            if held := _stands(k, s, query):
                move = _by(me, Point.LOOKUP, query, f"holds what stands for list {NAMES[query]}")
                yield move, put(s, me, missed._replace(at="minted", held=held))
    elif r.at == "stamps valid":  # only when the guard is read last
        if scripts.blocked(k.protocol, s.redis.guard, s.run, r.query):
            yield _by(me, Point.GUARD, r.query, "guard: fenced"), put(s, me, IDLE)
        else:
            move = _by(me, Point.GUARD, r.query, f"guard: free. Returns {shown(r.value)}")
            yield move, _returns(s, me, r, r.value)
    elif r.at == "missed":
        if k.protocol.stamps_before_query:
            yield from _mints(k, s, me, r, then="minted")
        else:
            yield _queries(s, me, r, then="unstamped")
    elif r.at == "minted":
        yield _queries(s, me, r, then="loaded")
        yield from _shares(s, me, r, "loaded")
    elif r.at == "tends":
        yield from _tends(k, s, me)
    elif r.at == "loaded":
        redis = scripts.store(s.redis, r.query, r.value, r.held)
        move = _by(me, Point.SET, r.query, f"SET list {NAMES[r.query]} = {shown(r.value)}")
        yield move, put(command(k, s, redis), me, IDLE)
    elif r.at == "refused":
        yield _queries(s, me, r, then="unstamped")
        if k.protocol.doomed_share:
            yield from _shares(s, me, r, "unstamped")
    elif r.at == "unstamped":
        if k.protocol.doomed_share:
            yield _by(me, Point.RETURN, r.query, "returns"), put(s, me, IDLE)
        else:
            yield from _mints(k, s, me, r, then="loaded")


def _looks_up(k: Setting, s: State, me: int, query: int) -> Iterator[Step]:
    p = k.protocol
    entry, doomed = scripts.lookup(p, s.redis, s.run, query)
    r = Reader("missed", query, oldest(s))

    def looks(what: str) -> Move:
        return _by(me, Point.LOOKUP, query, f"looks up list {NAMES[query]}: {what}")

    if p.lookup == "guard last" and (read := scripts.valid(s.redis, query)):
        valid = r._replace(at="stamps valid", value=read.value)
        yield looks("the stamps are valid"), put(s, me, valid)
    elif entry is not None:
        return  # a hit changes nothing, and whether it is right is asked in every state
    elif doomed and _refused_reads_matter(k):
        yield looks("fenced"), put(s, me, r._replace(at="refused"))
    elif doomed and p.doomed_store == "never":
        # What it reads itself changes nothing and is right by construction. What it leaves in
        # Redis is the same whatever it had asked for.
        after = Reader("tends") if p.doomed_tends else IDLE
        yield looks("fenced. It reads the database, stores nothing"), put(s, me, after)
    elif not doomed and not scripts.leased(p, s.redis):
        return  # it reads the database, stores nothing: that changes nothing either
    elif held := _stands(k, s, query):
        after = r._replace(at="minted", held=held)
        yield looks("a miss, all stamps stand"), put(s, me, after)
    else:
        seen = (s.redis.stamps[MODEL], s.redis.stamps[query])
        after = r._replace(held=seen if p.mint == "restore" else DEAD)
        yield looks("fenced" if doomed else "a miss"), put(s, me, after)


def _stands(k: Setting, s: State, query: int) -> tuple[int, int] | None:
    """The stamps of a lookup that found all of them: held as they are, without a script."""
    stamps = (s.redis.stamps[MODEL], s.redis.stamps[query])
    if not k.protocol.held_by_lookup or NO_STAMP in stamps:
        return None
    return None if scripts.blocked(k.protocol, s.redis.guard, s.run, query) else stamps


def _by(me: int, point: Point, query: int, text: str) -> Move:
    return Move(READERS[me], point, query, text)


def _refused_reads_matter(k: Setting) -> bool:
    return k.protocol.doomed_share or k.protocol.doomed_store == "late"


def _tends(k: Setting, s: State, me: int) -> Iterator[Step]:
    redis = scripts.tend(k.protocol, s.redis, s.run)
    yield _by(me, Point.TEND, MODEL, "TEND"), put(command(k, s, redis), me, IDLE)


def _mints(k: Setting, s: State, me: int, r: Reader, then: str) -> Iterator[Step]:
    redis, held = scripts.mint(k.protocol, s.redis, s.run, r.query, seen=r.held)
    s = command(k, s, redis)
    if held:
        since = r.since if then == "minted" else 0
        after = r._replace(at=then, held=held, since=since)
        text = f"MINT model, {NAMES[r.query]}"
    elif r.at == "missed" and _refused_reads_matter(k):
        after = r._replace(at="refused", held=DEAD)
        text = "MINT: refused"
    else:
        after = IDLE
        text = "MINT: refused. It reads the database, stores nothing"
    yield _by(me, Point.MINT, r.query, text), put(s, me, after)


def _queries(s: State, me: int, r: Reader, then: str) -> Step:
    value = s.content(r.query)
    text = f"reads list {NAMES[r.query]} from the database: {shown(value)}"
    after = put(s, me, r._replace(at=then, value=value, since=0))
    return _by(me, Point.QUERY, r.query, text), after


def _shares(s: State, me: int, r: Reader, at: str) -> Iterator[Step]:
    """Takes the result of a load that is under way for the same key and the same stamps."""
    other = s.readers[1 - me]
    if (other.at, other.query, other.held) == (at, r.query, r.held):
        text = f"shares the load of reader {2 - me}: {shown(other.value)}"
        yield _by(me, Point.SHARE, r.query, text), _returns(s, me, r, other.value)


def _returns(s: State, me: int, r: Reader, value: int) -> State:
    """Back to its caller: never with what was outdated already when the read began."""
    allowed = {s.content(r.query, version) for version in range(r.since, len(s.history))}
    s = put(s, me, IDLE)
    if value in allowed:
        return s
    return s._replace(wrong=f"reader {me + 1} was told {shown(value)}: older than its read")
