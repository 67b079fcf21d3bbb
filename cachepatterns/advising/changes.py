"""Which attributes of a policy to change, for the reasons that the advisor has seen.

Pure: decides from a report and a handful of facts, and touches no source and no server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cachepatterns.core.tier import Tier
from cachepatterns.policy import ResolvedPolicy, void_if_never
from cachepatterns.stats.report import ModelReport
from cachepatterns.stats.verdicts import Level, Verdict

NOT_WORTH_IT = frozenset({"cheap-loads", "no-gain"})
"""Reasons of a whole model after which nothing but not caching it helps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Attributes of one model's policy: those to set, and those to take out."""

    policy: ResolvedPolicy
    set: Mapping[str, object] = field(default_factory=dict)
    drop: tuple[str, ...] = ()


def proposed(
    model: ModelReport, tiers: Mapping[str, Tier], filtered_by: Iterable[str] = ()
) -> Change | None:
    """The change that `model` calls for; `None` if it needs none, or none of a policy would help.

    `filtered_by` are the fields that its readers compare with a value.
    """
    policy = model.policy
    if policy is None or not policy.tier.caches:
        return None
    codes = _codes(model.verdict)
    never = Change(policy=policy, set={"tier": "never"}, drop=void_if_never(policy.policy))
    is_low = model.verdict.level.needs_attention
    if codes & NOT_WORTH_IT or ("more-writes" in codes and is_low):
        return never
    everywhere = codes.union(*(_codes(pattern.verdict) for pattern in model.patterns))
    if "invalidated" in everywhere and model.numbers.coarse <= model.numbers.invalidations / 2:
        narrower = _narrower(policy, filtered_by)
        if narrower is not None:
            return narrower
    if "single-use" in codes and model.verdict.level is Level.HURTING:
        return never
    return _longer(policy, tiers) if "expired" in codes else None


def _codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.reasons}


def _narrower(policy: ResolvedPolicy, filtered_by: Iterable[str]) -> Change | None:
    """Tags that tell more entries apart: the default ones back, and what readers filter by."""
    declared = policy.policy
    drop = ("narrow_by_only",) if declared.narrow_by_only is not None else ()
    known = {n.name for n in policy.narrowing}
    if drop:
        meta = policy.model._meta
        known |= {f.name for f in meta.local_concrete_fields if f.unique or f.is_relation}
    more = [name for name in filtered_by if name not in known]
    fields = [*declared.narrow_by, *more] if more else []
    if not drop and not fields:
        return None
    return Change(policy=policy, set={"narrow_by": fields} if fields else {}, drop=drop)


def _longer(policy: ResolvedPolicy, tiers: Mapping[str, Tier]) -> Change | None:
    """The next tier that lets entries live longer. A TTL of the policy's own goes first."""
    ttl = policy.tier.ttl or 0.0
    own = tiers.get(policy.policy.tier)
    if policy.policy.ttl is not None and own is not None and (own.ttl or 0.0) > ttl:
        return Change(policy=policy, drop=("ttl",))
    longer = [
        (tier.ttl, name)
        for name, tier in tiers.items()
        if tier.ttl is not None and tier.ttl > ttl and not tier.local and name != "session"
    ]
    if not longer:
        return None
    drop = ("ttl",) if policy.policy.ttl is not None else ()
    return Change(policy=policy, set={"tier": min(longer)[1]}, drop=drop)
