"""What a strict write can not do without: telling its rows, and two commands to Valkey; and what
it saves where a transaction begins with it.
"""

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
    execute, update, told = _statements(bench)
    send, hear = _command()
    steps: dict[str, Callable[[], object]] = {
        "UPDATE, as Django sends it": lambda: execute(update),
        "the same, and it tells its row before and after": lambda: execute(told),
        "BEGIN, and then the UPDATE": lambda: (execute("BEGIN"), execute(told)),
        "both in one message": lambda: execute(f"BEGIN; {told}"),
        "a command to Valkey, waited for": lambda: (send(), hear()),
        "a command to Valkey, sent": send,
        "its answer, heard when it is there": hear,
        "fence.lua and release.lua, waited for, beside another writer": _registering("other"),
        "the same, alone in the guard": _registering(),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(times):
        for name, step in steps.items():
            _work()
            began = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - began)
            if "BEGIN" in name or "message" in name:
                execute("ROLLBACK")
    return {name: sorted(seconds)[times // 20] for name, seconds in taken.items()}


def _statements(bench: Any) -> tuple[Callable[[str], object], str, str]:
    """What executes by the driver's own cursor, and the UPDATE of a ``save()`` without and with
    what is appended to it."""
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

    def execute(statement: str) -> object:
        cursor.execute(statement, params if "UPDATE" in statement else None)
        while cursor.nextset():
            pass
        return cursor.fetchall() if returns in statement else None

    return execute, plain, text


def _registering(*others: str) -> Callable[[], object]:
    """Register a writer in a guard, beside others or alone, and take the registration back."""
    from cachepatterns.backends.store import current_store

    backend, life = current_store().backend, 3600.0
    guard = ":".join(["bench:guard:writing@0", *others])
    tags = [f"bench:tag:writing@0:{name}" for name in ("*", "pk=1", "a=1", "b=2", "c=3", "d=4")]
    backend.tend([guard], life=life, no_writers=True)
    for other in others:
        backend.fence(other, {guard: [f"bench:tag:writing@0:{other}"]}, life=life)

    def step() -> None:
        alone = backend.fence("writer", {guard: tags}, life=life)
        if bool(alone) is bool(others):
            raise RuntimeError(
                "the writer is alone where it should not be, or not where it should"
            )
        backend.release("writer", [guard], tags, life=life, alone=alone)

    return step


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
