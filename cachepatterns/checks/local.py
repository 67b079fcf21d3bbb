"""Checks of what a policy accepts of the near-cache: it and its tier must both say so."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Info

from cachepatterns.checks.settings import check_ttl
from cachepatterns.policy import ResolvedPolicy


def check_local(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    """What is wrong with ``accepts_staleness``, or is of no use without the other."""
    name, accepted = policy.policy.tier, policy.policy.accepts_staleness
    wrong = []
    if accepted is not None:
        wrong = [*check_ttl(accepted, policy.origin, "accepts_staleness")]
        yield from wrong
    if policy.tier.local and not accepted:
        yield Info(
            f"{policy.label} is in the tier {name!r}, which is local, but its policy accepts no "
            "staleness: it is always read from Redis.",
            hint="accepts_staleness = 1.0 lets a process answer from its own memory what Redis "
            "would have answered a second ago; or take a tier that is not local.",
            obj=policy.model,
            id="cachepatterns.I001",
        )
    elif accepted is not None and not wrong and policy.tier.caches and not policy.tier.local:
        yield Info(
            f"{policy.origin}: accepts_staleness has no effect: the tier {name!r} is not local, "
            f"{policy.label} is always read from Redis.",
            hint=f'Set CACHEPATTERNS["TIERS"]["{name}"]["local"] = True, or take a tier that is '
            "local. Else take accepts_staleness out, unless queries name a local tier themselves: "
            "cached(tier=…).",
            obj=policy.model,
            id="cachepatterns.I002",
        )
