"""What a strict write can not do without: telling its rows, and two commands to Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "What a strict write adds to its statement, beside Python"
BUSY = 150e-6
"""Seconds between two steps in which the process has other work: the server has fallen asleep."""


def run(crew: Crew, *, quick: bool) -> Table:
    found = Table(TITLE, ["step", "µs"])
    with crew.several("cachepatterns", 1) as (worker,):
        worker.tell("flush")
        said = worker.tell(f"{__name__}.measure", times=300 if quick else 2000)
    found.figures = said
    for step, seconds in said.items():
        found.add(step, f"{seconds * 1e6:.0f}")
    found.notes.append("The fastest twentieth of each, by turns.")
    return found


# -- in the contender's process ---------------------------------------------------------------


def measure(bench: Any, times: int) -> dict[str, float]:
    """Seconds of each step."""
    update, told = _statements(bench)
    send, hear = _command()
    steps: dict[str, Callable[[], object]] = {
        "UPDATE, as Django sends it": update,
        "the same, and it tells its row before and after": told,
        "a command to Valkey, waited for": lambda: (send(), hear()),
        "a command to Valkey, sent": send,
        "its answer, heard when it is there": hear,
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(times):
        for name, step in steps.items():
            _work()
            began = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - began)
    return {name: sorted(seconds)[times // 20] for name, seconds in taken.items()}


def _statements(bench: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """Run the UPDATE of a ``save()`` by the driver's own cursor, without and with what is appended
    to it."""
    from django.db import connection

    sent = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, many, context)

    bench.questions.save(1)
    with connection.execute_wrapper(note):
        bench.questions.save(1)
    ((text, params),) = sent
    plain, returns, _ = text.partition(" RETURNING ")
    if not returns:
        raise RuntimeError(f"nothing is appended to {text}")
    cursor = connection.connection.cursor()
    return (
        lambda: cursor.execute(plain, params),
        lambda: (cursor.execute(text, params), cursor.fetchall()),
    )


def _command() -> tuple[Callable[[], object], Callable[[], object]]:
    """Send a command over a connection that is held, and read its answer."""
    from django.core.cache import cache
    from hiredis import pack_command

    line = cache.client.get_client(write=True).connection_pool.get_connection()
    packed = pack_command(("GET", "nothing"))
    return (
        lambda: line.send_packed_command((packed,), check_health=False),
        lambda: line.read_response(),
    )


def _work() -> None:
    until = time.perf_counter() + BUSY
    while time.perf_counter() < until:
        pass
