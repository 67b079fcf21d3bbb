"""The real code takes the model's steps, and each does to Valkey what the model says."""

from __future__ import annotations

import os
from functools import cache

import pytest

from tests.protocol import model
from tests.protocol.moves import Point
from tests.protocol.mutations import AUTOCOMMIT, EVENTUAL, TRANSACTION
from tests.protocol.replay.places import Pair, Server, Table
from tests.protocol.replay.points import CALLS, FAULTS, POINTS, held
from tests.protocol.replay.replayer import Replay
from tests.protocol.replay.sabotage import SABOTAGES
from tests.protocol.search import Way, random_way, ways_to_each_point
from tests.protocol.setting import FAULTS as ALL_FAULTS
from tests.protocol.setting import Protocol, Setting

T, A, E = TRANSACTION, AUTOCOMMIT, EVENTUAL
OUTBOX = Protocol(outbox=True, away_at_fence="write")
WAYS = 500 if os.environ.get("CACHEPATTERNS_PROTOCOL") == "deep" else 8
"""Random ways for each pair of writers."""


BOTH = Setting(kinds=(A, A))
"""Two statements in autocommit, and nothing befalls them."""


@cache
def ways() -> dict[Point, tuple[Setting, Way]]:
    """For each step of the sound protocol, a shortest way that ends with it."""
    found: dict[Point, tuple[Setting, Way]] = {}
    for setting in (
        *(Setting(kinds=(kind, kind), faults=ALL_FAULTS) for kind in (T, A)),
        Setting(OUTBOX, (T,), frozenset({"away", "evict"})),
        Setting(OUTBOX, (E,), lookups=False, readers=1, relays=2),
        Setting(OUTBOX, (E,), frozenset({"evict"}), lookups=False, readers=1),
    ):
        limit = 20_000 if setting.relays == 2 else 5_000
        for point, way in ways_to_each_point(setting, limit).items():
            found.setdefault(point, (setting, way))
    return found


def test_the_model_s_steps_and_the_code_s_points_have_the_same_names() -> None:
    assert set(ways()) == set(POINTS) | set(FAULTS)
    assert set(CALLS.values()) < set(POINTS)


def test_a_step_that_does_something_else_is_seen(table: Table, server: Server) -> None:
    setting, way = next(
        (BOTH, way)
        for way in (random_way(BOTH, seed, 25) for seed in range(50))
        if any(move.text == "RELEASE a, b" for move, _ in way)
    )
    _, sabotage = SABOTAGES["release leaves stamps"]
    with pytest.raises(AssertionError, match="model"), sabotage():
        play(table, server, setting, way)


def play(table: Table, server: Server, setting: Setting, way: Way) -> Replay:
    sharing = any(move.point is Point.SHARE for move, _ in way)
    with held(server, setting, sharing=sharing) as background:
        played = Replay(table, server, background, setting)
        try:
            played.begin(warm=model.is_warm(way[0][1]))
            played.play(way, compare=True)
            played.go_on()
            played.settle()
        finally:
            played.end()
    assert not played.violation, f"\n{played}"
    return played


@pytest.mark.parametrize("point", [*POINTS, *FAULTS], ids=lambda point: point.value)
def test_the_code_takes_each_step(
    point: Point, table: Table, request: pytest.FixtureRequest
) -> None:
    setting, way = ways()[point]
    needs_two = any(move.point is Point.FAILOVER for move, _ in way)
    server: Server = request.getfixturevalue("pair" if needs_two else "server")
    if isinstance(server, Pair):
        server.begin()
    played = play(table, server, setting, way)
    if point in set(POINTS) - {Point.RENEW, Point.ROLLBACK}:
        assert point in played.actors[way[-1][0].actor].passed


@pytest.mark.parametrize("seed", range(WAYS))
@pytest.mark.parametrize("kinds", [(T, T), (T, A), (A, A)], ids="-".join)
def test_the_code_goes_random_ways_of_the_model(
    kinds: tuple[str, str], seed: int, table: Table, server: Server
) -> None:
    setting = Setting(kinds=kinds, faults=ALL_FAULTS - {"failover"})
    play(table, server, setting, random_way(setting, seed, 25))


@pytest.mark.parametrize("seed", range(WAYS))
@pytest.mark.parametrize("kinds", [(T,), (E,), (T, E)], ids="-".join)
def test_the_code_goes_random_ways_with_an_outbox(
    kinds: tuple[str, ...], seed: int, table: Table, server: Server
) -> None:
    setting = Setting(OUTBOX, kinds, ALL_FAULTS - {"failover"}, relays=2)
    play(table, server, setting, random_way(setting, seed, 40))


@pytest.mark.parametrize("seed", range(WAYS // 4))
@pytest.mark.parametrize("kind", [T, A])
def test_the_code_goes_random_ways_with_failovers(
    kind: str, seed: int, table: Table, pair: Pair
) -> None:
    setting = Setting(kinds=(kind, kind), faults=frozenset({"failover", "crash"}))
    pair.begin()
    play(table, pair, setting, random_way(setting, seed, 20))
