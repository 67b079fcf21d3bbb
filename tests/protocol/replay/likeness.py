"""What Valkey holds, in the model's words: that the code's steps do what the model's do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cachepatterns.core.guard import EVERYTHING
from tests.protocol import scripts
from tests.protocol.replay.places import Server, ticks
from tests.protocol.replay.relays import delivered, keys, mark
from tests.protocol.state import ALL, QUERIES, ROW, Redis, State


class Likeness(NamedTuple):
    """Of a state of the model and of a server alike. Stamps are random: that they stand, and
    which entries rest on them, is all there is to compare."""

    guard: tuple[bool, int, tuple[tuple[int, int, tuple[int, ...]], ...]] | None
    """Whether it is another incarnation's; the quarantine; and each registration: its writer,
    the ticks that it has left, its tags."""
    stamps: tuple[bool, ...]
    entries: tuple[int | None, ...]
    """What each list's entry says, if all of its stamps stand."""
    lease: int = 0
    marks: tuple[int, ...] = ()
    replayed: bool = False
    delivered: tuple[bool, ...] = ()
    """Of the outbox: of each event, whether it is marked in the database."""


def of_state(state: State) -> Likeness:
    redis: Redis = state.redis
    guard = redis.guard and (
        redis.guard.run != state.run,
        redis.guard.quarantine,
        tuple(sorted(redis.guard.fences)),
    )
    entries = [scripts.valid(redis, query) for query in QUERIES]
    return Likeness(
        guard,
        tuple(map(bool, redis.stamps[:ROW])),  # which is read on its own in no replay
        tuple(entry.value if entry else None for entry in entries),
        redis.lease,
        redis.marks,
        redis.replayed,
        tuple(event.delivered for event in state.outbox),
    )


def of_server(server: Server, tick: float, writers: Mapping[str, int]) -> Likeness:
    """`writers` are known by the tokens of their registrations."""
    found = server.guard()
    names = {key: tag for tag, key in server.keys.stamps.items()}
    guard = None
    if found is not None:
        fences = []
        for token, (left, *tags) in found["f"].items():
            # The row's other tags are in no list, so the model knows nothing of them.
            known = tuple(sorted(names[key] for key in tags if key in names))
            named = ALL if tags[0] == EVERYTHING else known
            fences.append((writers[token], ticks(left, tick), named))
        quarantine = found["q"] and ticks(found["q"], tick) + 1
        guard = (found["r"] != server.run(), quarantine, tuple(sorted(fences)))
    stamps = server.client.mget(list(server.keys.stamps.values()))
    return Likeness(
        guard,
        tuple(map(bool, stamps)),
        tuple(server.entry(query) for query in QUERIES),
        server.lease(tick),
        tuple(sorted(n for token, n in writers.items() if server.client.exists(mark(token)))),
        server.client.get(keys().replayed) == server.run().encode(),
        delivered(),
    )
