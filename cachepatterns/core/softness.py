"""What may be done with an entry near its end and after it.

An entry's TTL is its *soft* end; it stands in Redis for some time longer (`Softness.beyond`), in
which it may be served while it is loaded anew, or where that fails. None of this says anything of
writes: an entry whose stamps do not stand is not served, whatever its age.

Early refresh is XFetch: A. Vattani, F. Chierichetti, K. Lowenstein, "Optimal Probabilistic Cache
Stampede Prevention", VLDB 2015. Each reader decides for himself, the likelier the nearer the end
and the longer the load took; so of many readers mostly one refreshes, and before it is too late.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from cachepatterns.core.tier import Tier

SHORT_SHARE = 0.25
"""The last share of a TTL, in which a hit makes the entry live longer."""
_LIKELY = 7.0
"""How many loads before the end the first of a thousand readers refreshes (ln 1000)."""


class Softness(msgspec.Struct, frozen=True, gc=False):
    """The options of a tier of the same names; worked out once per question."""

    stale_for: float = 0.0
    early_refresh: float = 0.0
    stale_if_error: float = 0.0
    max_age: float = 0.0
    serves_invalidated: float = 0.0

    @property
    def beyond(self) -> float:
        """Seconds that an entry stands in Redis after its TTL."""
        return max(self.stale_for, self.stale_if_error)

    def is_due_early(self, left: float, took: float, random: Callable[[], float]) -> bool:
        """Whether to refresh an entry that has `left` seconds to live and `took` some to load.

        `random` returns floats in [0, 1).
        """
        return -took * self.early_refresh * math.log(1.0 - random()) >= left

    def longer_life(self, age: float, left: float, ttl: float) -> float:
        """How many seconds an entry that was just hit may live from now on; 0 to leave it.

        It is `age` seconds old, and has `left` of the `ttl` that it is given at a time.
        """
        if left > ttl * SHORT_SHARE:
            return 0.0
        life = min(ttl, self.max_age - age)
        return life if life - left >= 1.0 else 0.0

    def watched(self, ttl: float, took: float) -> float:
        """The seconds before its end in which every reader of an entry must see it in Redis."""
        early = self.early_refresh * took * _LIKELY
        return max(early, ttl * SHORT_SHARE if self.max_age else 0.0)


def softness_of(tier: Tier) -> Softness | None:
    """What `tier` allows; `None` where that is nothing, and a hit need not look at its age."""
    if not (
        tier.stale_for
        or tier.early_refresh
        or tier.stale_if_error
        or tier.max_age
        or tier.serves_invalidated
    ):
        return None
    return Softness(
        stale_for=tier.stale_for,
        early_refresh=tier.early_refresh,
        stale_if_error=tier.stale_if_error,
        max_age=tier.max_age or 0.0,
        serves_invalidated=tier.serves_invalidated,
    )
