"""What a writer may do next. Each step is one statement, one script or one COMMIT."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import scripts
from tests.protocol.moves import WRITERS, Move, Point
from tests.protocol.setting import Setting
from tests.protocol.state import (
    ALL,
    NAMES,
    A,
    B,
    Reader,
    Redis,
    State,
    Writer,
)

ROWS = ((A, 0), (B, 1), (A, 2))
"""The row at first, and what each writer makes of it: one moves it a→b, the other (back) to a."""

Step = tuple[Move, State]


def steps(k: Setting, s: State, me: int) -> Iterator[Step]:
    w = s.writers[me]
    if w.at == "new" and s.lock == -1:
        yield from (_announces if w.kind == "autocommit" else _updates)(k, s, me, w)
    elif w.at == "wrote":
        yield from _fences(k, s, me, w, w.tags)
        yield from _gives_up(s, me, w)
        if k.protocol.publishes_own:
            yield from _publishes_own(k, s, me)
    elif w.at == "fenced":
        yield from _gives_up(s, me, w)
        if k.protocol.release_when == "after commit":
            yield from _commits(k, s, me, w)
            yield _by(me, Point.RENEW, "renews its fence"), _renewed(k, s, me, w)
        else:
            tags = w.tags or _moved_tags(k, s, me)
            early = put(_released(k, s, me, tags), me, w._replace(at="early", tags=tags))
            text = f"RELEASE {named(tags)}, before the commit"
            yield _by(me, Point.EARLY_RELEASE, text), early
        if "unknown" in k.faults:
            text = "its connection dies while it commits"
            yield _by(me, Point.UNKNOWN, text), _uncertain(k, s, me, w)
    elif w.at == "early":
        yield from _commits(k, s, me, w)
    elif w.at == "uncertain":
        if w.kind == "transaction" or _may_commit(k, s, w):
            text = "its COMMIT has reached the database"
            yield _by(me, Point.REACHED, text), _committed(k, s, me, "done")
        yield _by(me, Point.NOT_REACHED, "its COMMIT has not reached the database"), ended(s, me)
    elif w.at == "committed":
        yield from _after_commit(k, s, me, w)
    elif w.at == "rolled back":
        # Nothing was written, so a bump costs but misses.
        after = ended(_released(k, s, me, w.tags), me)
        yield _by(me, Point.RELEASE, f"RELEASE {named(w.tags)}, after its rollback"), after
    elif w.at == "released":
        redis = scripts.fence(k.protocol, s.redis, s.run, me, _fenced_tags(w), again=True)
        text = "renews its fence after the release"
        yield _by(me, Point.LATE_RENEWAL, text), ended(command(k, s, redis), me)


def _by(me: int, point: Point, text: str) -> Move:
    return Move(WRITERS[me], point, me, text)


def _updates(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    category, value = ROWS[me + 1]
    after = put(s._replace(lock=me), me, w._replace(at="wrote", tags=_moved_tags(k, s, me)))
    text = f"UPDATE to v{value} in list {NAMES[category]}, not committed"
    yield _by(me, Point.UPDATE, text), after


def _announces(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    yield from _fences(k, s, me, w, ALL)


def _fences(k: Setting, s: State, me: int, w: Writer, tags: tuple[int, ...]) -> Iterator[Step]:
    fenced = w._replace(at="fenced", left=k.protocol.life)
    redis = scripts.fence(k.protocol, s.redis, s.run, me, tags)
    yield _by(me, Point.FENCE, f"FENCE {named(tags)}"), put(command(k, s, redis), me, fenced)
    if "away" in k.faults:
        if k.protocol.away_at_fence == "refuse":
            yield _by(me, Point.AWAY, "Redis is away: the write is refused"), ended(s, me)
        else:
            text = "Redis is away: writes without a fence"
            yield _by(me, Point.UNFENCED, text), put(s, me, fenced)


def _renewed(k: Setting, s: State, me: int, w: Writer) -> State:
    redis = scripts.fence(k.protocol, s.redis, s.run, me, _fenced_tags(w), again=True)
    return put(command(k, s, redis), me, w._replace(left=k.protocol.life))


def _gives_up(s: State, me: int, w: Writer) -> Iterator[Step]:
    """What is refused by the database, or rolled back, is released: at once, or by the
    background thread. Who crashes releases nothing."""
    rolled_back = put(ended(s, me), me, Writer("rolled back", w.kind, w.tags))
    text = "ROLLBACK" if w.kind == "transaction" else "UPDATE, refused by the database"
    yield _by(me, Point.ROLLBACK, text), rolled_back
    yield _by(me, Point.CRASH, "crashes"), ended(s, me)


def _may_commit(k: Setting, s: State, w: Writer) -> bool:
    """A transaction holds the row; a statement needs it, and must not come too late."""
    if w.kind == "transaction":
        return True
    return s.lock == -1 and (w.left > 0 or not k.protocol.statements_in_time)


def _commits(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    if _may_commit(k, s, w):
        category, value = ROWS[me + 1]
        whole = w.kind == "transaction"
        what = "COMMIT" if whole else "UPDATE, committed at once"
        text = f"{what}: v{value} is in list {NAMES[category]}"
        point = Point.COMMIT if whole else Point.STATEMENT
        yield _by(me, point, text), _committed(k, s, me, "committed")


def _committed(k: Setting, s: State, me: int, at: str) -> State:
    tags = s.writers[me].tags or _moved_tags(k, s, me)
    done = Writer(at, s.writers[me].kind, tags) if at != "done" else _done(s, me)
    lock = -1 if s.lock == me else s.lock
    return put(s._replace(history=(*s.history, ROWS[me + 1]), lock=lock), me, done)


def _uncertain(k: Setting, s: State, me: int, w: Writer) -> State:
    """Nobody knows yet whether the COMMIT will count, least of all its sender."""
    after = put(s, me, w._replace(at="uncertain"))
    if k.protocol.unknown_commit == "kept":
        return after
    return command(k, after, scripts.release(k.protocol, s.redis, s.run, me, (), bump=False))


def _after_commit(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    if k.protocol.release_when == "before commit":
        yield _by(me, Point.RETURN, "returns"), ended(s, me)
        return
    after = _released(k, s, me, w.tags)
    release = _by(me, Point.RELEASE, f"RELEASE {named(w.tags)}")
    if k.protocol.renews_after_release:
        yield release, put(after, me, w._replace(at="released"))
    else:
        yield release, ended(after, me)
    if "crash" in k.faults:
        yield _by(me, Point.CRASH, "crashes, or its RELEASE never arrives"), ended(s, me)


def _publishes_own(k: Setting, s: State, me: int) -> Iterator[Step]:
    category, value = ROWS[me + 1]
    entry, doomed = scripts.lookup(k.protocol, s.redis, s.run, category)
    redis, held = scripts.mint(k.protocol, s.redis, s.run, category)
    if held and not entry and not doomed:
        redis = scripts.store(redis, category, value, held)
        text = f"reads list {NAMES[category]} in its own transaction, stores v{value}"
        yield _by(me, Point.OWN_READ, text), command(k, s, redis)


def _moved_tags(k: Setting, s: State, me: int) -> tuple[int, ...]:
    """Where the row was and where it goes. The statement itself has told where it was."""
    was = s.history[-1] if k.protocol.old_values == "database" else ROWS[0]
    return tuple(sorted({was[0], ROWS[me + 1][0]}))


def _fenced_tags(w: Writer) -> tuple[int, ...]:
    return ALL if w.kind == "autocommit" else w.tags


def _released(k: Setting, s: State, me: int, tags: tuple[int, ...]) -> State:
    return command(k, s, scripts.release(k.protocol, s.redis, s.run, me, tags))


def named(tags: tuple[int, ...]) -> str:
    return "ALL" if tags == ALL else ", ".join(NAMES[tag] for tag in tags) or "nothing"


def put(s: State, me: int, w: Writer | Reader) -> State:
    if isinstance(w, Reader):
        readers = (*s.readers[:me], w, *s.readers[me + 1 :])
        return s._replace(readers=readers)
    return s._replace(writers=(*s.writers[:me], w, *s.writers[me + 1 :]))


def _done(s: State, me: int) -> Writer:
    return Writer("done", s.writers[me].kind)


def ended(s: State, me: int) -> State:
    """Whatever it had open is rolled back by the database; what it had fenced stays fenced."""
    return put(s._replace(lock=-1 if s.lock == me else s.lock), me, _done(s, me))


def command(k: Setting, s: State, redis: Redis) -> State:
    """Redis after one more command, which its replica may not have got yet."""
    if redis == s.redis or "failover" not in k.faults:
        return s._replace(redis=redis)
    return s._replace(redis=redis, unreplicated=(s.redis, *s.unreplicated)[: k.lost_commands])
