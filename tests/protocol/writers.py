"""What a writer may do next. Each step is one statement, one script or one COMMIT."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import scripts
from tests.protocol.moves import WRITERS, Move, Point
from tests.protocol.setting import Setting
from tests.protocol.state import (
    ALL,
    BOUNDLESS,
    NAMES,
    ROW,
    ROWS,
    STAYS,
    Event,
    Reader,
    Redis,
    State,
    Writer,
)

Step = tuple[Move, State]

STATEMENTS = frozenset({"autocommit", "staying"})
"""The kinds of writers that commit with the end of their one statement."""


def steps(k: Setting, s: State, me: int) -> Iterator[Step]:
    w = s.writers[me]
    if w.at == "new" and w.kind == "foreseeing":
        yield from _foresees(k, s, me, w)
    elif w.at == "foreseen":
        yield from _gives_up(s, me, w)
        if s.lock == -1:
            yield from _updates_as_foreseen(k, s, me, w)
    elif w.at == "updated":
        yield from _gives_up(s, me, w)
        yield from _stands(k, s, me, w)
    elif w.at == "new" and s.lock == -1:
        yield from (_announces if w.kind in STATEMENTS else _updates)(k, s, me, w)
    elif w.at == "wrote" and w.kind == "eventual":
        yield from _gives_up(s, me, w)
        yield from _records(k, s, me, w) if _records_now(k, w) else _commits(k, s, me, w)
    elif w.at == "wrote":
        yield from _fences(k, s, me, w, w.tags)
        yield from _gives_up(s, me, w)
        if k.protocol.publishes_own:
            yield from _publishes_own(k, s, me)
    elif w.at == "fenced" and _records_now(k, w):
        yield from _gives_up(s, me, w)
        yield from _records(k, s, me, w)
    elif w.at == "fenced":
        yield from _gives_up(s, me, w)
        if k.protocol.release_when == "after commit":
            yield from _commits(k, s, me, w)
            if w.kind != "eventual":
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
        if w.kind not in STATEMENTS or _may_commit(k, s, w):
            text = "its COMMIT has reached the database"
            yield _by(me, Point.REACHED, text), _committed(k, s, me, "done")
        yield _by(me, Point.NOT_REACHED, "its COMMIT has not reached the database"), ended(s, me)
    elif w.at == "committed":
        yield from _after_commit(k, s, me, w)
    elif w.at == "rolled back":  # where it had registered
        # Nothing was written, so a bump costs but misses.
        after = ended(_released(k, s, me, w.tags), me)
        yield _by(me, Point.RELEASE, f"RELEASE {named(w.tags)}, after its rollback"), after
    elif w.at == "released":
        redis = scripts.fence(k.protocol, s.redis, s.run, me, _fenced_tags(me, w), again=True)
        text = "renews its fence after the release"
        yield _by(me, Point.LATE_RENEWAL, text), ended(command(k, s, redis), me)


def _by(me: int, point: Point, text: str) -> Move:
    return Move(WRITERS[me], point, me, text)


def _updates(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    category, value = ROWS[me + 1]
    wrote = w._replace(at="wrote", tags=_moved_tags(k, s, me), quiet=w.kind == "eventual")
    after = put(s._replace(lock=me), me, wrote)
    text = f"UPDATE to v{value} in list {NAMES[category]}, not committed"
    yield _by(me, Point.UPDATE, text), after


def _announces(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    yield from _fences(k, s, me, w, _fenced_tags(me, w))


def _fences(k: Setting, s: State, me: int, w: Writer, tags: tuple[int, ...]) -> Iterator[Step]:
    fenced = w._replace(at="fenced", left=k.protocol.life)
    redis = scripts.fence(k.protocol, s.redis, s.run, me, tags)
    yield _by(me, Point.FENCE, f"FENCE {named(tags)}"), put(command(k, s, redis), me, fenced)
    if "away" in k.faults:
        if k.protocol.away_at_fence == "refuse":
            yield _by(me, Point.AWAY, "Redis is away: the write is refused"), ended(s, me)
        else:
            text = "Redis is away: writes without a fence"
            yield _by(me, Point.UNFENCED, text), put(s, me, fenced._replace(quiet=True))


def _foresees(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    """Before its UPDATE, and so before its transaction, it registers where the row will stand:
    mostly that is where it stood. In the model it is sent and carried out at once: later is
    another order of the same steps, as long as it is before the answer."""
    guess = _with_row(k, {ROWS[me + 1][0]})
    redis = scripts.fence(k.protocol, s.redis, s.run, me, guess)
    foreseen = w._replace(at="foreseen", tags=guess, left=k.protocol.life)
    text = f"FENCE {named(guess)}, as it foresees"
    yield _by(me, Point.FENCE, text), put(command(k, s, redis), me, foreseen)


def _updates_as_foreseen(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    ((move, after),) = _updates(k, s, me, w)
    yield move, put(after, me, after.writers[me]._replace(at="updated", quiet=False))


def _stands(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    """It hears that what it foresaw is registered, and adds what it did not foresee. If time has
    passed since, it registers all of it anew: its transaction may have begun that much later."""
    guess = _with_row(k, {ROWS[me + 1][0]})
    late = w.left < k.protocol.life and k.protocol.late_foresight == "registered again"
    added = w.tags != guess and k.protocol.foreseen == "added to"
    fenced = w._replace(at="fenced")
    if not late and not added:
        yield _by(me, Point.STANDS, "hears that it is registered"), put(s, me, fenced)
        return
    redis = scripts.fence(k.protocol, s.redis, s.run, me, w.tags, again=late)
    if late:
        fenced = fenced._replace(left=k.protocol.life)
    text = f"FENCE {named(w.tags)}{', anew' if late else ''}"
    yield _by(me, Point.FENCE, text), put(command(k, s, redis), me, fenced)


def _records_now(k: Setting, w: Writer) -> bool:
    """In autocommit there is no transaction that the event could be part of."""
    in_transaction = k.protocol.event_when == "in transaction" and w.kind not in STATEMENTS
    return k.protocol.outbox and in_transaction and not w.recorded


def _records(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    """The INSERT is part of the transaction: it is seen with its COMMIT, or never."""
    after = put(s, me, w._replace(at="fenced", recorded=True))
    if k.protocol.mark_when == "before commit":
        early = command(k, after, scripts.marked(s.redis, me))
        yield _by(me, Point.EARLY_MARK, "INSERT event; leaves its mark"), early
    else:
        yield _by(me, Point.EVENT, "INSERT event"), after


def _renewed(k: Setting, s: State, me: int, w: Writer) -> State:
    redis = scripts.fence(k.protocol, s.redis, s.run, me, _fenced_tags(me, w), again=True)
    return put(command(k, s, redis), me, w._replace(left=k.protocol.life))


def _gives_up(s: State, me: int, w: Writer) -> Iterator[Step]:
    """What is refused by the database, or rolled back, is released: at once, or by the
    background thread. Who crashes releases nothing."""
    rolled_back = put(ended(s, me), me, Writer("rolled back", w.kind, w.tags))
    if w.kind == "eventual" or w.at == "wrote":  # has not registered
        rolled_back = ended(s, me)
    text = "UPDATE, refused by the database" if w.kind in STATEMENTS else "ROLLBACK"
    yield _by(me, Point.ROLLBACK, text), rolled_back
    yield _by(me, Point.CRASH, "crashes"), ended(s, me)


def _may_commit(k: Setting, s: State, w: Writer) -> bool:
    """A transaction holds the row; a statement needs it, and must not come too late."""
    if w.kind not in STATEMENTS:
        return True
    return s.lock == -1 and (w.left > 0 or not k.protocol.statements_in_time)


def _commits(k: Setting, s: State, me: int, w: Writer) -> Iterator[Step]:
    if _may_commit(k, s, w):
        category, value = ROWS[me + 1]
        whole = w.kind not in STATEMENTS
        what = "COMMIT" if whole else "UPDATE, committed at once"
        text = f"{what}: v{value} is in list {NAMES[category]}"
        point = Point.COMMIT if whole else Point.STATEMENT
        yield _by(me, point, text), _committed(k, s, me, "committed")


def _committed(k: Setting, s: State, me: int, at: str) -> State:
    w = s.writers[me]
    tags = w.tags or _moved_tags(k, s, me)
    done = w._replace(at=at, tags=tags, left=0) if at != "done" else _done(s, me)
    if w.recorded:
        s = s._replace(outbox=(*s.outbox, Event(me, tags, w.quiet and w.kind != "eventual")))
    return put(
        s._replace(
            history=(*s.history, ROWS[me + 1]),
            quiet=(*s.quiet, _bound(k, w)),
            lock=-1 if s.lock == me else s.lock,
        ),
        me,
        done,
    )


def _bound(k: Setting, w: Writer) -> int:
    """For how many ticks the past may still be told if nobody hears of what was written."""
    if not w.quiet:
        return 0
    if k.protocol.outbox:
        return k.protocol.lease
    return BOUNDLESS if w.kind == "eventual" else 0


def known(s: State, value: int) -> State:
    """From now on everybody must know what this version has replaced."""
    quiet = list(s.quiet)
    for version, (_, written) in enumerate(s.history):
        if written == value:
            quiet[version] = 0
    return s._replace(quiet=tuple(quiet))


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
    if "crash" in k.faults:
        yield _by(me, Point.CRASH, "crashes, or its RELEASE never arrives"), ended(s, me)
    if k.protocol.outbox and not w.recorded:
        # What could be in no transaction is recorded after its commit.
        event = Event(me, w.tags, alone=False)
        after = put(s._replace(outbox=(*s.outbox, event)), me, w._replace(recorded=True))
        yield _by(me, Point.EVENT, "INSERT event, committed at once"), after
        return
    after = known(_released(k, s, me, w.tags, mark=k.protocol.outbox), ROWS[me + 1][1])
    release = _by(me, Point.RELEASE, f"RELEASE {named(w.tags)}")
    if k.protocol.renews_after_release:
        yield release, put(after, me, w._replace(at="released"))
    else:
        yield release, ended(after, me)


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
    return _with_row(k, {was[0], ROWS[me + 1][0]})


def _with_row(k: Setting, lists: set[int]) -> tuple[int, ...]:
    """Their tags, and the row's if that is read on its own."""
    return tuple(sorted({*lists, ROW} if k.rows else lists))


def _fenced_tags(me: int, w: Writer) -> tuple[int, ...]:
    if w.kind == "staying":
        return (STAYS, ROWS[me + 1][0], ROW)
    return ALL if w.kind == "autocommit" else w.tags


def _released(
    k: Setting, s: State, me: int, tags: tuple[int, ...], *, mark: bool = False
) -> State:
    registered = s.writers[me].kind != "eventual"
    redis = scripts.release(k.protocol, s.redis, s.run, me, tags, mark=mark, registered=registered)
    return command(k, s, redis)


def named(tags: tuple[int, ...]) -> str:
    if tags[:1] == (STAYS,):
        return f"ALL but what is not in {named(tags[1:])}"
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
