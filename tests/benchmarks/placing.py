"""Which CPU does whose work while the cases are timed.

Left to itself Linux wakes a server now on the CPU of the process that asks it, now on another,
and stays with that for minutes: the same UPDATE takes 45 µs or 105. On the same CPU the answer
comes sooner, but whatever the process does meanwhile holds the server up, and another CPU idles.
Which of it a contender meets would hang on what was timed before. So every other round has the
servers on CPUs of their own, as if they were machines of their own, and the rest goes as the
kernel likes: the best block is that of the better placement, for each contender and each case.
"""

from __future__ import annotations

import os
from typing import Any

from tests.benchmarks.crew import Worker

_allowed = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set[int]()


def is_possible() -> bool:
    """Whether this system lets us choose (Linux does), and has two CPUs to choose from."""
    return len(_allowed) > 1


def begin(worker: Worker, round_: int, *, always: bool) -> None:
    """Place a worker and its servers for a round: apart in every other one, or `always`."""
    if is_possible():
        part = always or round_ % 2 == 1
        worker.tell(f"{__name__}.{'apart' if part else 'anywhere'}")


# -- in the contender's process ---------------------------------------------------------------


def apart(bench: Any) -> None:
    """This process on the first CPU; Valkey and its session of PostgreSQL on the others."""
    first, *others = sorted(_allowed)
    _place(bench, {first}, set(others))


def anywhere(bench: Any) -> None:
    """All of them wherever the kernel puts them."""
    _place(bench, _allowed, _allowed)


def _place(bench: Any, here: set[int], there: set[int]) -> None:
    from django.core.cache import cache
    from django.db import connection

    valkey = cache.client.get_client(write=True).info("server")["process_id"]
    os.sched_setaffinity(0, here)
    for server in (connection.connection.info.backend_pid, valkey):
        os.sched_setaffinity(server, there)
