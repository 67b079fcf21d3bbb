"""Every mutation's counter-example, played with the real code on real servers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.protocol import model
from tests.protocol.moves import Move, Point
from tests.protocol.mutations import BROKEN, Mutation
from tests.protocol.replay.places import Pair, Server, Table
from tests.protocol.replay.points import held
from tests.protocol.replay.replayer import Replay
from tests.protocol.replay.sabotage import SABOTAGES
from tests.protocol.search import counter_example, found_for
from tests.protocol.setting import Setting
from tests.protocol.state import State

PAGE = Path(__file__).parents[3] / "docs" / "protocol-model.md"
Trace = list[tuple[Move, State]]


@pytest.fixture
def place(request: pytest.FixtureRequest, mutation: Mutation) -> Server:
    needs_two = "failover" in mutation.setting.faults
    found: Server = request.getfixturevalue("pair" if needs_two else "server")
    if isinstance(found, Pair):
        found.begin()
    return found


def replay(
    table: Table,
    server: Server,
    trace: Trace,
    setting: Setting,
    sabotage: AbstractContextManager[Any],
) -> Replay:
    sharing = any(move.point is Point.SHARE for move, _ in trace)
    with held(server, setting, sharing=sharing) as background, sabotage:
        played = Replay(table, server, background, setting)
        try:
            played.begin(warm=model.is_warm(trace[0][1]))
            played.play(trace)
            played.go_on()
            played.settle()
        finally:
            played.end()
    return played


@pytest.mark.parametrize("mutation", BROKEN, ids=lambda mutation: mutation.name)
def test_the_real_code_stands_the_counter_example(
    mutation: Mutation, table: Table, place: Server
) -> None:
    trace = counter_example(mutation)
    played = replay(table, place, trace, mutation.sound, nullcontext())
    assert not played.violation, f"\n{played}"


@pytest.mark.parametrize("mutation", BROKEN, ids=lambda mutation: mutation.name)
def test_the_same_mutation_of_the_real_code_is_seen(
    mutation: Mutation, table: Table, place: Server
) -> None:
    """By the very move, and in the very words, that the model has for it."""
    trace, found = counter_example(mutation), found_for(mutation)
    _, sabotage = SABOTAGES[mutation.name]
    played = replay(table, place, trace, mutation.setting, sabotage())
    print(played)
    assert played.violation, f"\n{played}"
    assert played.violation in found.violation, f"\n{played}"
    shown_at = len(played.done) if "time passes" in found.violation else len(trace) - 1
    assert played.after == shown_at, f"\n{played}"


def test_every_mutation_is_made_to_the_real_code_and_stands_on_the_page() -> None:
    lines = [
        "| mutation | in the real code | real code | mutated |",
        "|---|---|---|---|",
        *(
            f"| {mutation.name} | {SABOTAGES[mutation.name][0]} | holds | {_when(mutation)} |"
            for mutation in BROKEN
        ),
    ]
    assert set(SABOTAGES) == {mutation.name for mutation in BROKEN}
    table = "\n".join(lines)
    assert table in PAGE.read_text(), f"docs/protocol-model.md must have:\n{table}"


def _when(mutation: Mutation) -> str:
    if "time passes" in found_for(mutation).violation:
        return "violates, when time has passed"
    return f"violates, by move {len(counter_example(mutation)) - 1}"
