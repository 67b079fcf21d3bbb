"""What a writer may do next. Each step is one statement, one script or one COMMIT."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import scripts
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

Step = tuple[str, State]


def steps(k: Setting, s: State, me: int) -> Iterator[Step]:
    w = s.writers[me]
    if w.at == "new" and s.lock == -1:
        yield from (_announces if w.kind == "autocommit" else _updates)(k, s, me, w)
    elif w.at == "wrote":
        yield from _fences(k, s, me, w, w.tags)
        yield "ROLLBACK, or it crashes", ended(s, me)
        if k.protocol.publishes_own:
            yield from _publishes_own(k, s, me)
    elif w.at == "fenced":
        yield "ROLLBACK, or it crashes", ended(s, me)
        if k.protocol.release_when == "after commit":
            yield from _commits(k, s, me, w)
            redis = scripts.renew(k.protocol, s.redis, s.run, me, _fenced_tags(w))
            renewed = put(command(k, s, redis), me, w._replace(left=k.protocol.life))
            yield "renews its fence", renewed
        else:
            tags = w.tags or _moved_tags(k, s, me)
            early = put(_released(k, s, me, tags), me, w._replace(at="early", tags=tags))
            yield f"RELEASE {named(tags)}, before the commit", early
        if "unknown" in k.faults:
            yield "its connection dies while it commits", _uncertain(k, s, me, w)
    elif w.at == "early":
        yield from _commits(k, s, me, w)
    elif w.at == "uncertain":
        if w.kind == "transaction" or _may_commit(k, s, w):
            yield "its COMMIT has reached the database", _committed(k, s, me, "done")
        yield "its COMMIT has not reached the database", ended(s, me)
    elif w.at == "committed":
        yield from _after_commit(k, s, me, w)
    elif w.at == "released":
        redis = scripts.renew(k.protocol, s.redis, s.run, me, _fenced_tags(w))
        yield "renews its fence after the release", ended(command(k, s, redis), me)


def _updates(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    category, value = ROWS[me + 1]
    after = put(s._replace(lock=me), me, w._replace(at="wrote", tags=_moved_tags(k, s, me)))
    yield f"UPDATE to v{value} in list {NAMES[category]}, not committed", after


def _announces(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    yield from _fences(k, s, me, w, ALL)


def _fences(k: Setting, s: State, me: int, w: Writer, tags: tuple[int, ...]) -> Iterator[Step]:
    fenced = w._replace(at="fenced", left=k.protocol.life)
    redis = scripts.fence(k.protocol, s.redis, s.run, me, tags)
    yield f"FENCE {named(tags)}", put(command(k, s, redis), me, fenced)
    if "away" in k.faults:
        if k.protocol.away_at_fence == "refuse":
            yield "Redis is away: the write is refused", ended(s, me)
        else:
            yield "Redis is away: writes without a fence", put(s, me, fenced)


def _may_commit(k: Setting, s: State, w: Writer) -> bool:
    """A transaction holds the row; a statement needs it, and must not come too late."""
    if w.kind == "transaction":
        return True
    return s.lock == -1 and (w.left > 0 or not k.protocol.statements_in_time)


def _commits(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    if _may_commit(k, s, w):
        category, value = ROWS[me + 1]
        what = "COMMIT" if w.kind == "transaction" else "UPDATE, committed at once"
        yield f"{what}: v{value} is in list {NAMES[category]}", _committed(k, s, me, "committed")


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
    return command(k, after, scripts.release(k.protocol, s.redis, me, (), bump=False))


def _after_commit(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    if k.protocol.release_when == "before commit":
        yield "returns", ended(s, me)
        return
    after = _released(k, s, me, w.tags)
    if k.protocol.renews_after_release:
        yield f"RELEASE {named(w.tags)}", put(after, me, w._replace(at="released"))
    else:
        yield f"RELEASE {named(w.tags)}", ended(after, me)
    if "crash" in k.faults:
        yield "crashes, or its RELEASE never arrives", ended(s, me)


def _publishes_own(k: Setting, s: State, me: int) -> Iterator[Step]:
    category, value = ROWS[me + 1]
    redis, held = scripts.mint(k.protocol, s.redis, s.run, category)
    if held:
        redis = scripts.store(redis, category, value, held)
        label = f"reads list {NAMES[category]} in its own transaction, stores v{value}"
        yield label, command(k, s, redis)


def _moved_tags(k: Setting, s: State, me: int) -> tuple[int, ...]:
    """Where the row was and where it goes. The statement itself has told where it was."""
    was = s.history[-1] if k.protocol.old_values == "database" else ROWS[0]
    return tuple(sorted({was[0], ROWS[me + 1][0]}))


def _fenced_tags(w: Writer) -> tuple[int, ...]:
    return ALL if w.kind == "autocommit" else w.tags


def _released(k: Setting, s: State, me: int, tags: tuple[int, ...]) -> State:
    return command(k, s, scripts.release(k.protocol, s.redis, me, tags))


def named(tags: tuple[int, ...]) -> str:
    return "ALL" if tags == ALL else ", ".join(NAMES[tag] for tag in tags)


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
