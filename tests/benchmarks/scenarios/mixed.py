"""A shop's load: 4 processes read products and category lists by Zipf's law, and save some."""

from __future__ import annotations

import random
import time
from itertools import accumulate
from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "Mixed load: 4 processes, Zipf over 20,000 products and 200 category lists, 5 % saves"
PROCESSES, SAVES, LISTS = 4, 0.05, 0.3
GOAL = 0.9
"""Of the floor's reads a second; the floor invalidates nothing."""


def run(crew: Crew, *, quick: bool) -> Table:
    seconds, popular = (2.0, 1_000) if quick else (10.0, 8_000)
    found = Table(TITLE, ["contender", "reads/s", "hit rate", "of the floor's reads/s", "goal"])
    for name in crew.lean(quick=quick):
        with crew.several(name, PROCESSES) as processes:
            processes[0].tell("flush")
            for number, process in enumerate(processes):
                share = {"first": number, "step": PROCESSES, "popular": popular}
                process.order(f"{__name__}.warm", **share)
            for process in processes:
                process.answer()
            for number, process in enumerate(processes):
                process.order(f"{__name__}.shop", seed=number, seconds=seconds)
            said = [process.answer() for process in processes]
        reads = sum(one["reads"] for one in said)
        found.figures[name] = {
            "reads_per_second": reads / seconds,
            "hit_rate": sum(one["hits"] for one in said) / reads,
        }
    floor = found.figures.get("floor", {}).get("reads_per_second")
    for name, figures in found.figures.items():
        share = figures["reads_per_second"] / floor if floor else 0.0
        ours = name == "cachepatterns"
        mark = (" ✓" if share >= GOAL else " ✗") if ours else ""
        found.add(
            name,
            f"{figures['reads_per_second']:.0f}",
            "–" if name == "uncached" else f"{figures['hit_rate']:.0%}",
            f"{share:.2f}{mark}" if floor else "",
            f"≥ {GOAL:g}" if ours else "",
        )
    found.notes.append('The floor and "cache-aside" invalidate nothing: they answer wrongly.')
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
            product.save()
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
