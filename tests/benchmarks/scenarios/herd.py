"""A herd: 4 processes of 16 threads all miss one slow query at one moment."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "4 processes × 16 threads miss one slow query at once"
PROCESSES, THREADS, GOAL = 4, 16, 1
TOGETHER = 1.0
"""Seconds until all begin, by the machine's clock."""


def run(crew: Crew, *, quick: bool) -> Table:
    found = Table(TITLE, ["contender", "queries", "slowest answer", "goal"])
    for name in crew.lean(quick=quick):
        with crew.several(name, PROCESSES) as processes:
            processes[0].tell("flush")
            for process in processes:
                process.order(f"{__name__}.prepare")
            for process in processes:
                process.answer()
            worst: tuple[int, float] = (0, 0.0)
            for number in range(1 if quick else 3):
                at = time.time() + TOGETHER
                for process in processes:
                    process.order(f"{__name__}.ask", at=at, n=number, threads=THREADS)
                said = [process.answer() for process in processes]
                queries = sum(one["statements"] for one in said)
                worst = max(worst, (queries, max(one["slowest"] for one in said)))
        ours = name == "cachepatterns"
        mark = (" ✓" if worst[0] <= GOAL else " ✗") if ours else ""
        found.figures[name] = {"queries": worst[0], "slowest": worst[1]}
        found.add(name, f"{worst[0]}{mark}", f"{worst[1] * 1e3:.0f} ms", f"{GOAL}" if ours else "")
    return found


# -- in the contender's process ---------------------------------------------------------------


def prepare(bench: Any) -> None:
    """Learn what is learnt once: the shape of the question, the way to the servers."""
    bench.questions.slow(-1)


def ask(bench: Any, at: float, n: int, threads: int) -> dict[str, float]:
    """Ask the same in `threads` threads at the moment `at`: statements, and the slowest answer."""
    import threading

    from django.db import connection

    slowest, statements = [0.0] * threads, [0] * threads

    def one(number: int) -> None:
        def count(execute: Any, *args: Any) -> Any:
            statements[number] += 1
            return execute(*args)

        connection.ensure_connection()
        connection.execute_wrappers.append(count)
        time.sleep(max(0.0, at - time.time()))
        started = time.perf_counter()
        bench.questions.slow(n)
        slowest[number] = time.perf_counter() - started
        connection.close()

    running = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"statements": sum(statements), "slowest": max(slowest)}
