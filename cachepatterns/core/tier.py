"""Tiers: named freshness policies, and how a TTL is drawn from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """A named freshness policy. ``ttl`` is in seconds; ``None`` means: do not cache.

    Invalidation keeps entries right; the TTL is the safety net below it, and gives
    memory back. ``negative_ttl`` bounds it for answers that hold nothing: whoever asks for
    keys that do not exist can make any number of them.
    """

    name: str
    ttl: float | None
    jitter: float = 0.1
    negative_ttl: float = 60.0
    local: bool = False
    """Whether processes keep entries in their own memory too (the near-cache), for as long as the
    models' policies accept (``accepts_staleness``)."""
    accepts: float = 0.0
    """Seconds of staleness that the policies accept, where the tier is local; worked out."""

    @property
    def caches(self) -> bool:
        return self.ttl is not None


NEVER = Tier(name="never", ttl=None)

BUILT_IN = {
    "static": Tier(name="static", ttl=24 * 3600),
    "semi_static": Tier(name="semi_static", ttl=15 * 60),
    "volatile": Tier(name="volatile", ttl=45),
    "never": NEVER,
}
"""``session`` is added by the registry: its TTL is Django's ``SESSION_COOKIE_AGE``."""


def jittered(ttl: float, jitter: float, random: Callable[[], float]) -> float:
    """`ttl` shortened by up to the share `jitter`, so that no two entries expire as one.

    `random` returns floats in [0, 1). Never longer than `ttl`, never below one second.
    """
    return max(1.0, ttl * (1.0 - jitter * random()))
