"""All scenes, one after the other, a line each."""

import time
from collections.abc import Callable, Collection

from shop.demo.actor import ActorFailed
from shop.demo.patterns import patterns
from shop.demo.patterns.pattern import Failed
from shop.demo.patterns.stage import Stage


def perform(
    stage: Stage, say: Callable[[str], object], *, only: Collection[str] = ()
) -> dict[str, str]:
    """Play every scene (or those named), say how it went; return complaints by pattern's name."""
    complaints: dict[str, str] = {}
    for pattern in patterns():
        if only and pattern.name not in only:
            continue
        began = time.perf_counter()
        head = f"{pattern.number:>2} {pattern.title:<28}"
        try:
            stage.settle()
            played = pattern.perform(stage)
        except (Failed, ActorFailed) as error:
            complaints[pattern.name] = str(error)
            say(f"{head} FAILED  {error}")
            continue
        counters = ", ".join(f"{count:,} {name}" for name, count in played.counters.items())
        say(
            f"{head} ok      {counters}; {played.sql_saved:,} SQL statements saved "
            f"({time.perf_counter() - began:.1f} s)\n{'':<31} held: {played.interleaving}"
        )
    return complaints
