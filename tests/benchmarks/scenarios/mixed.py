"""A shop's load: 4 processes read products and category lists by Zipf's law, and save some."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tests.benchmarks.crew import Crew, Worker
from tests.benchmarks.scenarios import cpu
from tests.benchmarks.scenarios.table import Table

TITLE = "Mixed load: 4 processes, Zipf over 20,000 products and 200 category lists, 5 % saves"
PROCESSES, SAVES, LISTS = 4, 0.05, 0.3
POPULAR, SECONDS = 1_000, 1.0
"""Each round begins with the most popular products cached, and the lists, and takes so long: then
invalidation row by row hits in three of four reads."""
GOAL = 0.9
"""Of the floor's reads a second."""


@dataclass
class Load:
    """What one contender has done in all rounds."""

    reads: int = 0
    hits: int = 0
    cpu: float = 0.0

    def run(self, processes: list[Worker], seconds: float, round_: int) -> None:
        """Have them all read and write for so long, at the same time."""
        before = _spent(processes)
        for number, process in enumerate(processes):
            seed = round_ * PROCESSES + number
            process.order(f"{__name__}.shop", seed=seed, seconds=seconds)
        said = [process.answer() for process in processes]
        self.cpu += _spent(processes) - before
        self.reads += sum(one["reads"] for one in said)
        self.hits += sum(one["hits"] for one in said)


def run(crew: Crew, *, quick: bool) -> Table:
    rounds = 2 if quick else 10
    with contextlib.ExitStack() as stack:
        crews = {
            name: stack.enter_context(crew.several(name, PROCESSES))
            for name in crew.lean(quick=quick)
        }
        loads = {name: Load() for name in crews}
        for round_ in range(rounds):  # by turns, so that what else the machine does hits all
            for name, processes in crews.items():
                _warm(processes, POPULAR)
                loads[name].run(processes, SECONDS, round_)
    return _table(loads, rounds * SECONDS)


def _warm(processes: list[Worker], popular: int) -> None:
    processes[0].tell("flush")
    for number, process in enumerate(processes):
        share = {"first": number, "step": PROCESSES, "popular": popular}
        process.order(f"{__name__}.warm", **share)
    for process in processes:
        process.answer()


def _spent(processes: list[Worker]) -> float:
    found = sum(process.tell(f"{cpu.__name__}.spent") for process in processes)
    return float(found + processes[0].tell(f"{cpu.__name__}.spent_by_valkey"))


def _table(loads: dict[str, Load], seconds: float) -> Table:
    share = "of the floor's reads/s"
    found = Table(TITLE, ["contender", "reads/s", "hit rate", "CPU per read", share, "goal"])
    floor = loads["floor"].reads if "floor" in loads else 0
    for name, load in loads.items():
        found.figures[name] = {
            "reads_per_second": load.reads / seconds,
            "hit_rate": load.hits / load.reads,
            "cpu_seconds_per_read": load.cpu / load.reads,
        }
        part = load.reads / floor if floor else 0.0
        ours = name == "cachepatterns"
        mark = (" ✓" if part >= GOAL else " ✗") if ours else ""
        found.add(
            name,
            f"{load.reads / seconds:.0f}",
            "–" if name == "uncached" else f"{load.hits / load.reads:.0%}",
            f"{load.cpu / load.reads * 1e6:.0f} µs",
            f"{part:.2f}{mark}" if floor else "",
            f"≥ {GOAL:g}" if ours else "",
        )
    found.notes.append(
        "CPU: of the processes, of their sessions of PostgreSQL and of Valkey. The floor deletes "
        'what it has written, after the commit; "cache-aside" invalidates nothing, and answers '
        "wrongly."
    )
    return found


# -- in the contender's process ---------------------------------------------------------------


def warm(bench: Any, first: int, step: int, popular: int) -> None:
    """Ask for one's share of the most popular products, and of the lists."""
    from tests.benchmarks.seed import CATEGORIES

    for pk in _by_rank()[first:popular:step]:
        bench.questions.get_pk(pk)
    for n in range(first, CATEGORIES, step):
        bench.questions.page(n)


def shop(bench: Any, seed: int, seconds: float) -> dict[str, int]:
    """Read and write for so long; what was read, and how much of it by hits."""
    from tests.benchmarks.seed import CATEGORIES, PRODUCTS

    draw, by_rank = random.Random(seed), _by_rank()
    products, categories = _zipf(PRODUCTS), _zipf(CATEGORIES)
    ends, reads, hits = time.perf_counter() + seconds, 0, 0
    while time.perf_counter() < ends:
        chance, before = draw.random(), bench.statements
        if chance < SAVES:
            pk = by_rank[draw.choices(range(PRODUCTS), cum_weights=products)[0]]
            product = bench.questions.get_pk(pk)
            read = bench.statements
            product.stock += 1
            bench.questions.put(product)
        else:
            if chance < SAVES + LISTS:
                (n,) = draw.choices(range(CATEGORIES), cum_weights=categories)
                bench.questions.page(n)
            else:
                bench.questions.get_pk(
                    by_rank[draw.choices(range(PRODUCTS), cum_weights=products)[0]]
                )
            read = bench.statements
        reads += 1
        hits += read == before
    return {"reads": reads, "hits": hits}


def _by_rank() -> list[int]:
    """The products, the most popular first: the same for all, anywhere in the table."""
    from tests.benchmarks.seed import PRODUCTS

    return random.Random(0).sample(range(1, PRODUCTS + 1), PRODUCTS)


def _zipf(count: int) -> list[float]:
    return list(accumulate(1 / rank for rank in range(1, count + 1)))
