"""From what is said of a model to the policy that the journeys work with: everything looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from django.conf import settings

from cachepatterns.conf import config
from cachepatterns.core.tier import BUILT_IN, NEVER, Tier
from cachepatterns.declarations import Declaration, ModelType, is_secret
from cachepatterns.policy import ModelPolicy, Narrowing, ResolvedPolicy, kind_of
from cachepatterns.sources import lacks_sources, sources


def resolved(model: ModelType, said: Declaration) -> ResolvedPolicy:
    """The policy of a concrete `model`, of which `said` is said."""
    policy = said.policy()
    narrowing = tuple(narrowed_fields(model, policy))
    return ResolvedPolicy(
        model=model,
        label=model._meta.label_lower,
        # A view of which nobody says what it reads is reported by a check, and not cached.
        tier=NEVER if lacks_sources(model, policy) else _tier_of(policy),
        narrowing=narrowing,
        fingerprint=_fingerprint(model, policy),
        databases=frozenset(policy.databases),
        policy=policy,
        depends_on=tuple(sources(policy)),
        origin=said.origin,
        is_from_settings=said.is_from_settings,
        by_wildcard=said.by_wildcard,
        by_attname={n.attname: n for n in narrowing},
    )


def tiers() -> dict[str, Tier]:
    """The built-in tiers and those of the settings, by name."""
    jitter = config().JITTER
    found = {name: replace(tier, jitter=jitter) for name, tier in BUILT_IN.items()}
    found["session"] = Tier(name="session", ttl=settings.SESSION_COOKIE_AGE, jitter=0.0)
    for name, options in config().TIERS.items():
        base = found.get(name, found["semi_static"])
        found[name] = Tier(
            name=name,
            ttl=options.get("ttl", base.ttl),
            jitter=options.get("jitter", base.jitter),
            negative_ttl=options.get("negative_ttl", base.negative_ttl),
            stale_for=_number(options, "stale_for", base.stale_for),
            early_refresh=_number(options, "early_refresh", base.early_refresh),
            stale_if_error=_number(options, "stale_if_error", base.stale_if_error),
            max_age=_number(options, "max_age", base.max_age or 0.0) or None,
            local=options.get("local", base.local),
        )
    return found


def check_lifetime(tier: str | None, ttl: float | None) -> None:
    """Raise `ValueError` for a tier that there is not, or a TTL that is not positive."""
    if tier is not None and tier not in tiers():
        raise ValueError(f"No tier {tier!r}; there are {', '.join(sorted(tiers()))}.")
    if ttl is not None and ttl <= 0:
        raise ValueError(f"ttl must be positive seconds, not {ttl!r}.")


def _number(options: Mapping[str, Any], name: str, default: float) -> float:
    """What stands there; 0 for what is no number, which a check reports."""
    value = options.get(name, default)
    return float(value) if isinstance(value, (int, float)) and value > 0 else 0.0


def narrowed_fields(model: ModelType, policy: ModelPolicy) -> Iterator[Narrowing]:
    """The primary key first, then unique fields, then the others."""
    meta: Any = model._meta
    if policy.narrow_by_only is not None:
        wanted = _named(meta, policy.narrow_by_only)
    else:
        wanted = [f for f in meta.local_concrete_fields if f.unique or f.is_relation]
        wanted += _named(meta, policy.narrow_by)
    fields = [meta.pk, *sorted(wanted, key=lambda f: not getattr(f, "unique", False))]
    seen = set()
    for f in fields:
        kind = kind_of(f)
        column = getattr(f, "column", None)
        if kind is None or column is None or f.attname in seen or f.model is not model:
            continue
        seen.add(f.attname)
        if kind == "text" and is_secret(model):
            kind = "secret"
        yield Narrowing(
            name=f.name, attname=f.attname, column=column, kind=kind, field=f, unique=f.unique
        )


def _named(meta: Any, names: Iterable[str]) -> list[Any]:
    # Names of no field are reported by a check, which could not run if this raised.
    known = {f.name: f for f in meta.get_fields()}
    return [known[name] for name in names if name in known]


def _tier_of(policy: ModelPolicy) -> Tier:
    known = tiers()
    # An unknown tier is reported by a check; meanwhile nothing is cached.
    tier = known.get(policy.tier, NEVER)
    if policy.ttl is not None and tier.caches:
        tier = replace(tier, ttl=policy.ttl)
    if tier.local:
        tier = replace(tier, accepts=policy.accepts_staleness or 0.0)
    if policy.consistency == "eventual":  # else a check says so
        accepted = _number({"": policy.serve_invalidated}, "", 0.0)
        tier = replace(tier, serves_invalidated=accepted)
    return tier


def _fingerprint(model: ModelType, policy: ModelPolicy) -> str:
    """Changes whenever rows of the model would be stored otherwise."""
    parts = [str(policy.version), model._meta.db_table]
    parts += sorted(f"<{source._meta.label_lower}" for source in sources(policy))
    # Entries of before rest on less than what writers bump from now on.
    parts += sorted(f"!{name}" for name in policy.ignores)
    parts += [
        f"{f.attname}|{f.column}|{type(f).__module__}.{type(f).__qualname__}"
        for f in model._meta.concrete_fields
    ]
    return blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()
