"""Where each value of a policy came from, for people."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

from cachepatterns.conf import config, user_settings
from cachepatterns.core.tier import BUILT_IN, Tier
from cachepatterns.policy import ModelPolicy, ResolvedPolicy

DEFAULT = "default"


class Origin(NamedTuple):
    """A value that is in force, and where it was said."""

    value: Any
    where: str

    def __str__(self) -> str:
        return f"{_spelled(self.value)} ({self.where})"


def origins(policy: ResolvedPolicy) -> dict[str, Origin]:
    """What the policy says, by name; then what its tier adds."""
    found = {name: Origin(getattr(policy.policy, name), _said_by(policy, name)) for name in _NAMES}
    by_policy = found.pop("ttl")
    found |= {
        name: Origin(getattr(policy.tier, name), _tier_said(policy.tier, name))
        for name in _TIER_NAMES
    }
    if by_policy.value is not None:
        found["ttl"] = by_policy
    return found


_NAMES = [name for name in vars(ModelPolicy) if not name.startswith("_")]
_NAMES = [name for name in _NAMES if not callable(getattr(ModelPolicy, name))]
_TIER_NAMES = [field.name for field in fields(Tier) if field.name not in {"name", "accepts"}]


def _said_by(policy: ResolvedPolicy, name: str) -> str:
    said = next(cls for cls in type(policy.policy).__mro__ if name in vars(cls))
    if said is ModelPolicy:
        return DEFAULT
    is_ours = said.__module__ == "cachepatterns.declarations"  # made of the settings
    return policy.origin if is_ours else f"{said.__module__}.{said.__qualname__}"


def _tier_said(tier: Tier, name: str) -> str:
    if name in config().TIERS.get(tier.name, {}):
        return f'CACHEPATTERNS["TIERS"]["{tier.name}"]'
    if name == "jitter" and tier.name != "session":
        return 'CACHEPATTERNS["JITTER"]' if "JITTER" in user_settings() else DEFAULT
    if name == "ttl" and tier.name == "session":
        return "SESSION_COOKIE_AGE"
    if tier.name in BUILT_IN and getattr(BUILT_IN[tier.name], name) == getattr(tier, name):
        return f"tier {tier.name!r}, built in"
    return f"tier {tier.name!r}"


def _spelled(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "nothing"
    return "none" if value is None else str(value)
