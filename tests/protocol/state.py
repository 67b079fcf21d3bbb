"""What a moment of the protocol consists of, and when two moments are the same.

One row, `(category, value)`, is read by two queries, "list a" and "list b". What a query returns
is the row's value if it stands in that list, else `EMPTY`. Where `Setting.rows` says so a third
one asks for the row itself. Times are *ticks left*, never clocks,
and stamps are renamed after every step; so the states are finite although time, reads and faults
go on for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

MODEL, A, B, ROW = 0, 1, 2, 3
"""The tags: the model's, one for each value of the narrowed field, and the row's. A query is named
by its field tag, or the row's."""

QUERIES = (A, B)
EVERY_QUERY = (A, B, ROW)
ALL: tuple[int, ...] = (-1,)
"""In place of tags: a fence before an autocommit statement, whose tags nobody knows yet."""
STAYS = -2
"""Before tags: a fence before an autocommit statement that leaves the row in the list it names."""

ROWS = ((A, 0), (B, 1), (A, 2))
"""The row at first, and what each writer makes of it: one moves it a→b, the other (back) to a."""

NAMES = {MODEL: "model", A: "a", B: "b", ROW: "row"}
EMPTY = -1
NO_STAMP = 0
DEAD = (NO_STAMP, NO_STAMP)
NEW = 99
"""A stamp nobody has: `rename` keeps all others small."""


class Fence(NamedTuple):
    token: int
    left: int  # ticks until its deadline; 0: expired, to be purged
    tags: tuple[int, ...]


BOUNDLESS = 9
"""In place of ticks: until its writer returns, or for ever if he does not."""
OVER = 1
"""A quarantine that has run out, but that no script has ended yet."""


class Guard(NamedTuple):
    run: int  # the incarnation of Redis that wrote it
    quarantine: int  # 0: none, `OVER`: to be ended, else one more than the ticks left
    fences: tuple[Fence, ...]


class Entry(NamedTuple):
    value: int
    held: tuple[int, int]  # the stamps of the model tag and of the field tag


class Redis(NamedTuple):
    guard: Guard | None
    stamps: tuple[int, int, int, int]
    entries: tuple[Entry | None, ...]  # by query; [0] is never used
    # with an outbox
    lease: int = 0  # ticks left; 0: none that this incarnation's readers accept
    marks: tuple[int, ...] = ()  # the writers whose bump was done
    replayed: bool = False  # whether the outbox was replayed for this incarnation


class Writer(NamedTuple):
    at: str
    # "transaction", "foreseeing" (one too), "autocommit", "staying" (one too) or "eventual"
    kind: str
    tags: tuple[int, ...] = ()
    left: int = 0  # ticks until the deadline that it was promised
    quiet: bool = False  # nobody is kept away: eventual, or Redis was away at the fence
    recorded: bool = False  # its event is part of its transaction


class Reader(NamedTuple):
    at: str = "idle"
    query: int = MODEL
    since: int = 0  # the version that was committed when this read began
    held: tuple[int, int] = DEAD
    value: int = EMPTY


class Event(NamedTuple):
    """What stands in the outbox, committed."""

    writer: int
    tags: tuple[int, ...]
    alone: bool  # without a token: no mark can vouch for it
    delivered: bool = False


class Relay(NamedTuple):
    at: str = "idle"
    left: int = 0  # ticks until a lease ends that counts from when it asked for the time
    stranger: bool = False  # that was another incarnation
    waiting: tuple[int, ...] = ()  # the writers whose events were undelivered when it looked
    held: tuple[int, ...] = ()  # those whose events it has locked
    todo: tuple[int, ...] = ()  # those of them that no mark vouches for


IDLE = Reader()
AT_REST = Relay()


class State(NamedTuple):
    history: tuple[tuple[int, int], ...]  # the rows committed, the first is the initial one
    lock: int  # the writer whose transaction holds the row; -1: none
    run: int  # the incarnation of Redis now
    redis: Redis
    unreplicated: tuple[Redis, ...]  # Redis before its last commands, the youngest first
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    wrong: str = ""  # what a reader was told that it must not be
    quiet: tuple[int, ...] = (0,)  # by version: ticks for which its past may still be told
    outbox: tuple[Event, ...] = ()
    relays: tuple[Relay, ...] = ()

    def content(self, query: int, version: int = -1) -> int:
        category, value = self.history[version]
        return value if query in (category, ROW) else EMPTY


def oldest(state: State) -> int:
    """The oldest version that a reader may be told now: the present one, but what was written
    quietly need not be known yet."""
    version = len(state.history) - 1
    while state.quiet[version]:
        version -= 1
    return version


def unbounded(tags: tuple[int, ...]) -> bool:
    """Whether who has registered so does not know yet what it will touch: it deletes no stamps."""
    return tags == ALL or tags[:1] == (STAYS,)


def shown(value: int) -> str:
    return "nothing" if value == EMPTY else f"v{value}"


def without(redis: Redis, tags: tuple[int, ...]) -> Redis:
    """Bump: the stamps of these tags are deleted."""
    stamps = tuple(NO_STAMP if t in tags else s for t, s in enumerate(redis.stamps))
    return redis._replace(stamps=stamps)


def rename(state: State) -> State:
    """The same moment with small stamp numbers, and without what can never matter again.

    Stamps are random, so nothing but their equality counts. A stamp that stands under its tag
    nowhere (neither in Redis nor in the state that a failover may bring back) never stands
    again: an entry that carries it is as good as evicted, and a reader that holds it will store
    what nobody can hit. Such a reader has become one that only reads the database, unless the
    other reader holds the same and may wait for its result.
    """
    redis, unreplicated, readers = _renamed_parts(state.redis, state.unreplicated, state.readers)
    return state._replace(redis=redis, unreplicated=unreplicated, readers=readers)


@lru_cache(maxsize=1 << 17)
def _renamed_parts(
    redis: Redis, unreplicated: tuple[Redis, ...], readers: tuple[Reader, ...]
) -> tuple[Redis, tuple[Redis, ...], tuple[Reader, ...]]:
    names: list[dict[int, int]] = [{NO_STAMP: NO_STAMP} for _ in redis.stamps]

    def name(query: int, held: tuple[int, int]) -> None:
        for tag, stamp in ((MODEL, held[0]), (query, held[1])):
            names[tag].setdefault(stamp, len(names[tag]))

    for past in (redis, *unreplicated):
        for query in EVERY_QUERY:
            name(query, (past.stamps[MODEL], past.stamps[query]))
    for reader in readers:
        if reader.at == "missed":  # what a lookup saw stands again in one of the mutations
            name(reader.query, reader.held)
    first, second = readers
    if first.query == second.query and first.held == second.held != DEAD:
        name(first.query, first.held)
    renamed = []
    for reader in readers:
        held = _renamed(names, reader.query, reader.held)
        renamed.append(IDLE if held is None else reader._replace(held=held))
    return (
        _with_names(names, redis),
        tuple(_with_names(names, past) for past in unreplicated),
        tuple(renamed),
    )


def _renamed(
    names: list[dict[int, int]], query: int, held: tuple[int, int]
) -> tuple[int, int] | None:
    model, field = names[MODEL].get(held[0]), names[query].get(held[1])
    return None if model is None or field is None else (model, field)


def _with_names(names: list[dict[int, int]], redis: Redis) -> Redis:
    entries = tuple(
        None
        if entry is None or (held := _renamed(names, query, entry.held)) is None
        else Entry(entry.value, held)
        for query, entry in enumerate(redis.entries)
    )
    stamps = tuple(names[tag][stamp] for tag, stamp in enumerate(redis.stamps))
    return redis._replace(stamps=stamps, entries=entries)


def symmetric(state: State) -> State:
    """Readers are alike, and relays: which of them is where makes no difference."""
    first, second = state.readers
    if first > second:
        state = state._replace(readers=(second, first))
    if len(state.relays) == 2 and state.relays[0] > state.relays[1]:
        state = state._replace(relays=state.relays[::-1])
    return state
