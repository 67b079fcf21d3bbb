"""A herd: 4 processes of 16 threads all miss one slow query at one moment."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.judging import are_right, is_one_load
from tests.benchmarks.scenarios.table import Table

TITLE = "4 processes × 16 threads miss one slow query at once"
PROCESSES, THREADS = 4, 16
TOGETHER = 1.0
"""Seconds until all begin, by the machine's clock."""


def run(crew: Crew, *, quick: bool) -> Table:
    found = Table(TITLE, ["contender", "queries", "slowest answer", "goal"])
    herds = 1 if quick else 3
    with crew.several("uncached", 1) as (truthful,):
        true = [truthful.tell(f"{__name__}.answer", n=number) for number in range(herds)]
    for name in crew.lean(quick=quick):
        with crew.several(name, PROCESSES) as processes:
            processes[0].tell("flush")
            for process in processes:
                process.order(f"{__name__}.prepare")
            for process in processes:
                process.answer()
            queries, slowest, answers = [], 0.0, []
            for number in range(herds):
                at = time.time() + TOGETHER
                for process in processes:
                    process.order(f"{__name__}.ask", at=at, n=number, threads=THREADS)
                said = [process.answer() for process in processes]
                queries.append(sum(one["statements"] for one in said))
                slowest = max(slowest, *(one["slowest"] for one in said))
                answers.append([answer for one in said for answer in one["answers"]])
        ours = name == "cachepatterns"
        # What is farthest from one query: none at all tells of a count that failed.
        worst = 0 if 0 in queries else max(queries)
        is_right = are_right(answers, true)
        mark = (" ✓" if is_one_load(queries, answers, true) else " ✗") if ours else ""
        found.figures[name] = {"queries": worst, "slowest": slowest, "right": is_right}
        wrong = "" if is_right else " †"
        found.add(name, f"{worst}{wrong}{mark}", f"{slowest * 1e3:.0f} ms", "1" if ours else "")
    if not all(one["right"] for one in found.figures.values()):
        found.notes.append("† not all answered what Django answers without a cache.")
    return found


# -- in the contender's process ---------------------------------------------------------------


def prepare(bench: Any) -> None:
    """Learn what is learnt once: the shape of the question, the way to the servers."""
    bench.questions.slow(-1)


def answer(bench: Any, n: int) -> int:
    """What the query of number `n` is answered."""
    return int(bench.questions.slow(n))


def ask(bench: Any, at: float, n: int, threads: int) -> dict[str, Any]:
    """Ask the same in `threads` threads at the moment `at`: the statements of all, the seconds of
    the slowest answer, and the answers; `None` of a thread that has failed."""
    import threading

    from django.db import connection

    slowest, statements = [0.0] * threads, [0] * threads
    answers: list[int | None] = [None] * threads

    def one(number: int) -> None:
        def count(execute: Any, *args: Any) -> Any:
            statements[number] += 1
            return execute(*args)

        connection.ensure_connection()
        connection.execute_wrappers.append(count)
        time.sleep(max(0.0, at - time.time()))
        started = time.perf_counter()
        answers[number] = bench.questions.slow(n)
        slowest[number] = time.perf_counter() - started
        connection.close()

    running = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"statements": sum(statements), "slowest": max(slowest), "answers": answers}
