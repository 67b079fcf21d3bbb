"""Tiers: named freshness policies, and how a TTL is drawn from one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


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
    stale_for: float = 0.0
    """Seconds after the TTL in which an expired entry is still served while it is refreshed in
    the background (stale-while-revalidate)."""
    early_refresh: float = 0.0
    """The beta of XFetch: how eagerly an entry is refreshed *before* it expires. 1 is the value
    of the paper, more is earlier, 0 is never."""
    stale_if_error: float = 0.0
    """Seconds after the TTL in which an expired entry is served where the database fails."""
    max_age: float | None = None
    """Seconds that an entry which is still asked for near its end may live in all (adaptive TTL);
    `None`: its TTL, however often it is asked for."""
    local: bool = False
    """Whether processes keep entries in their own memory too (the near-cache), for as long as the
    models' policies accept (``accepts_staleness``)."""
    accepts: float = 0.0
    """Seconds of staleness that the policies accept, where the tier is local; worked out."""
    serves_invalidated: float = 0.0
    """Seconds that what writes have outdated may be served; worked out from the policies."""

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

UNDECLARED = Tier(name="", ttl=60.0)
"""For what has no policy of its own."""


def strictest(tiers: Sequence[Tier]) -> Tier:
    """The tier of what rests on several models, each with one of `tiers`: no entry lives longer,
    in whatever way, than each of them lets its own live."""
    known = [(tier, tier.ttl) for tier in tiers if tier.ttl is not None]
    if not known:
        return UNDECLARED
    shortest, ttl = min(known, key=lambda each: each[1])
    if len(known) == 1:
        return shortest
    oldest = min(max(t, tier.max_age or 0.0) for tier, t in known)
    return replace(
        shortest,
        negative_ttl=min(tier.negative_ttl for tier, _ in known),
        stale_for=min(t + tier.stale_for for tier, t in known) - ttl,
        stale_if_error=min(t + tier.stale_if_error for tier, t in known) - ttl,
        max_age=oldest if oldest > ttl else None,
        accepts=min(tier.accepts for tier, _ in known),
        serves_invalidated=min(tier.serves_invalidated for tier, _ in known),
    )


def jittered(ttl: float, jitter: float, random: Callable[[], float]) -> float:
    """`ttl` shortened by up to the share `jitter`, so that no two entries expire as one.

    `random` returns floats in [0, 1). Never longer than `ttl`, never below one second.
    """
    return max(1.0, ttl * (1.0 - jitter * random()))
