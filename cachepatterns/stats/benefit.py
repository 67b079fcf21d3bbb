"""What caching earns: database time spared and spent in an hour, and the memory held for it."""

from __future__ import annotations

from dataclasses import dataclass

from cachepatterns.stats.numbers import Numbers

HOUR = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Benefit:
    """Estimates for one hour like those that were measured."""

    spared: float
    """Seconds that the answers from the cache would have taken in the database."""
    paid: float
    """Seconds that hits took, and that misses took beside their loads."""
    memory: float | None
    """Bytes held at most; `None` where nothing was stored or it is not known for how long."""

    @property
    def net(self) -> float:
        """hits × (load time − hit time) − misses × overhead, in seconds."""
        return self.spared - self.paid


def benefit(numbers: Numbers, seconds: float, ttl: float | None) -> Benefit | None:
    """What `numbers`, counted in `seconds`, come to; `None` where no load was measured.

    What is stored in one TTL is what is held at most: some of it is outdated or evicted sooner.
    """
    load = numbers.mean_load
    if load is None or seconds <= 0:
        return None
    share = HOUR / seconds
    paid = numbers.hit_seconds + max(0.0, numbers.miss_seconds - numbers.load_seconds)
    held = None
    if numbers.stored_bytes and ttl is not None:
        held = numbers.stored_bytes * min(1.0, ttl / seconds)
    return Benefit(spared=numbers.queries_avoided * load * share, paid=paid * share, memory=held)
