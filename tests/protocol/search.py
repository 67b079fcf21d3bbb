"""Searching the model, and the ways it found, move by move."""

from __future__ import annotations

import random
from functools import cache

from tests.protocol import invariants, model
from tests.protocol.explorer import Found, explore
from tests.protocol.moves import Move, Point
from tests.protocol.mutations import Mutation
from tests.protocol.setting import Setting
from tests.protocol.state import State, symmetric

Way = tuple[tuple[Move, State], ...]


def search(setting: Setting, limit: int = 3_000_000) -> Found[State]:
    return explore(
        model.starts(setting),
        lambda state: model.steps(setting, state),
        lambda state: invariants.violated(setting, state),
        key=symmetric,
        limit=limit,
    )


@cache
def found_for(mutation: Mutation) -> Found[State]:
    """What the search for a mutation's counter-example saw; made once, used by many tests."""
    return search(mutation.setting, limit=200_000)


def counter_example(mutation: Mutation) -> Way:
    """The shortest way to a violation: each move, and the state that it leads to."""
    return follow(mutation.setting, found_for(mutation).steps)


def ways_to_each_point(setting: Setting, limit: int = 5_000) -> dict[Point, Way]:
    """For every kind of step that the model takes, a shortest way that ends with it."""
    found: dict[Point, Way] = {}
    came: dict[State, Way] = {state: ((move, state),) for move, state in model.starts(setting)}
    layer = list(came)
    while layer and len(came) < limit:
        following = []
        for state in layer:
            for move, after in model.steps(setting, state):
                way = (*came[state], (move, after))
                if not (move.point is Point.RELEASE and "rollback" in move.text):
                    found.setdefault(move.point, way)  # the writer's own, not the background's
                if after not in came:
                    came[after] = way
                    following.append(after)
        layer = following
    return found


def random_way(setting: Setting, seed: int, length: int) -> Way:
    """Some way of the model. Time and faults are rarer than what readers and writers do.

    Nobody shares a load: in the code it lands later than it may in the model, when it is stored.
    """
    chance = random.Random(seed)
    way = [chance.choice(list(model.starts(setting)))]
    for _ in range(length):
        steps = model.steps(setting, way[-1][1])
        moves = [(move, after) for move, after in steps if move.point is not Point.SHARE]
        weights = [4 if move.actor else 1 for move, _ in moves]
        way.append(chance.choices(moves, weights)[0])
    return tuple(way)


def follow(setting: Setting, moves: tuple[Move, ...]) -> Way:
    """The states along a way from one of the starts."""
    way = [next((m, state) for m, state in model.starts(setting) if m == moves[0])]
    for move in moves[1:]:
        after = [state for m, state in model.steps(setting, way[-1][1]) if m == move]
        assert len(after) == 1, f"{len(after)} states after {move}"
        way.append((move, after[0]))
    return tuple(way)
