"""What a worker and Valkey hold after very many different queries."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "After so many different queries"
GOAL_MB = 16.0
"""What a worker may hold more after all of them than after the first part."""


def run(crew: Crew, *, quick: bool, queries: int = 0) -> Table:
    """`queries`: how many in all; the first figure is taken at a quarter of them, or at 10,000."""
    most = queries or (2_000 if quick else 100_000)
    few = min(most // 4, 10_000)
    found = Table(
        TITLE,
        [
            "queries",
            "RSS of the worker",
            "in its memos",
            "keys that stay in Valkey",
            "their bytes",
        ],
    )
    with crew.several("cachepatterns", 1) as (worker,):
        worker.tell("flush")
        for count in (few, most):
            said = worker.tell(f"{__name__}.ask", until=count)
            said |= worker.tell(f"{__name__}.outlive")
            found.figures[str(count)] = said
            found.add(
                f"{count:,}",
                f"{said['rss'] / 1e6:.1f} MB",
                f"{said['memos']:,}",
                f"{said['keys']:,}",
                f"{said['bytes']:,}",
            )
    more = (found.figures[str(most)]["rss"] - found.figures[str(few)]["rss"]) / 1e6
    found.figures["more_mb"] = more
    mark = "✓" if more <= GOAL_MB else "✗"
    found.notes.append(
        f"{more:+.1f} MB {mark} (≤ {GOAL_MB:g} MB). The keys are counted when everything that "
        "can expire has expired: guards, and a week of statistics."
    )
    return found


# -- in the contender's process ---------------------------------------------------------------

_AGE = """
local gone, cursor = 0, '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local left = redis.call('PTTL', key)
    if left >= 0 and left <= tonumber(ARGV[1]) then gone = gone + redis.call('DEL', key) end
  end
until cursor == '0'
return gone
"""
TWO_DAYS = 2 * 24 * 3600 * 1000
"""Longer than the longest tier and what stamps outlive it; shorter than statistics are kept."""


def ask(bench: Any, until: int) -> dict[str, Any]:
    """Ask until so many different questions were asked; the bytes that the process takes then, and
    how much stands in its memos."""
    import gc

    asked = getattr(bench, "asked_once", 0)
    for n in range(asked, until):
        bench.questions.unlike_any_other(n)
    bench.asked_once = until
    gc.collect()
    return {"rss": _rss(), "memos": _memos()}


def outlive(bench: Any) -> dict[str, int]:
    """Let two days pass in Valkey, and count what is left there."""
    from django.core.cache import cache

    redis = cache.client.get_client(write=True)
    redis.eval(_AGE, 0, TWO_DAYS)
    keys = list(redis.scan_iter(count=1000))
    return {"keys": len(keys), "bytes": sum(redis.memory_usage(key) or 0 for key in keys)}


def _rss() -> int:
    import resource
    from pathlib import Path

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _memos() -> int:
    """How much stands in all memos of the package: those of its functions, the plans by shape and
    by step, the kept texts, and the steps of recipes."""
    import gc
    from functools import _lru_cache_wrapper

    from cachepatterns.read.plans import Plans
    from cachepatterns.read.recipe import Step
    from cachepatterns.read.texts import Kept

    found = 0
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper):
            if one.__module__.startswith("cachepatterns"):
                found += one.cache_info().currsize
        elif isinstance(one, Plans):
            found += len(one._by_shape) + len(one._by_step)
        elif isinstance(one, Kept):
            found += len(one._known)
        elif isinstance(one, Step):
            found += 1
    return found
