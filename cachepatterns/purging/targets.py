"""What can be purged: an object, a model, an app, a tag, a pattern of keys, everything."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass

from django.apps import apps
from django.db import connections, models

from cachepatterns.conf import config
from cachepatterns.core import tag as tags
from cachepatterns.core.key import row_key
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.explicit import invalidate
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import concrete_model, site
from cachepatterns.transactions import source_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is to be purged. ``bump`` bumps its tags and returns how many there were;
    ``pattern`` is the glob of its keys, ``keys`` are those that need no search; of one
    object, `instance`."""

    title: str
    bump: Callable[[str], int]
    keys: tuple[str, ...] = ()
    pattern: str = ""
    instance: models.Model | None = None


def object_target(instance: models.Model) -> Target:
    """One object: its row, and the lists and lookups that its narrowed fields lead to."""
    policy = policy_of(type(instance))
    using = instance._state.db if instance._state.db in policy.databases else None
    aliases = [using] if using else sorted(policy.databases)

    def bump(source: str) -> int:
        return sum(invalidate(instance, using=alias, source=source) for alias in aliases)

    keys: tuple[str, ...] = ()
    if policy.pk is not None:
        spelled = tags.canonical(policy.pk.kind, getattr(instance, policy.pk.attname))
        keys = tuple(
            row_key(
                config().PREFIX,
                policy.label,
                policy.fingerprint,
                source_id(connections[alias]),
                spelled,
            )
            for alias in aliases
        )
    return Target(
        title=f"{policy.model._meta.label}:{instance.pk}", bump=bump, keys=keys, instance=instance
    )


def model_target(model: type[models.Model]) -> Target:
    """Every entry that rests on the model, other models' queries that join it included."""
    policy = policy_of(model)

    def bump(source: str) -> int:
        return _bump_model(policy, source)

    label = glob.escape(policy.label)
    return Target(title=policy.model._meta.label, bump=bump, pattern=_under_prefix(f"*:{label}.*"))


def app_target(app_label: str) -> Target:
    """Every registered model of an app."""
    policies = [p for p in site.policies() if p.model._meta.app_label == app_label]
    if not policies:
        raise CachePatternsError(f"No model of {app_label!r} is registered.")

    def bump(source: str) -> int:
        return sum(_bump_model(policy, source) for policy in policies)

    return Target(
        title=app_label, bump=bump, pattern=_under_prefix(f"*:{glob.escape(app_label)}.*")
    )


def tag_target(tag: str) -> Target:
    """Every entry that carries a tag: ``#catalog:5``, or ``catalog:5``. Its entries stay until
    they expire, never served."""
    tag = tag if tag.startswith("#") or "@" in tag else f"#{tag}"

    def bump(source: str) -> int:
        return invalidate(tag, source=source)

    return Target(title=tag, bump=bump)


def pattern_target(pattern: str) -> Target:
    """Every key under our prefix whose rest matches a glob; statistics excepted."""
    return Target(title=pattern, bump=lambda source: 0, pattern=_under_prefix(pattern))


def everything() -> Target:
    """Every entry and every stamp under our prefix."""

    def bump(source: str) -> int:
        return sum(_bump_model(policy, source) for policy in site.policies())

    return Target(title=_under_prefix("*"), bump=bump, pattern=_under_prefix("*"))


def policy_of(model: type[models.Model]) -> ResolvedPolicy:
    """The model's policy; raises `CachePatternsError` if it has none."""
    policy = site.policy_for(model)
    if policy is None:
        label = concrete_model(model)._meta.label
        raise CachePatternsError(f"{label} is not registered; nothing of it is cached.")
    return policy


def named_target(name: str) -> Target:
    """The target a person wrote: ``app``, ``app.Model`` or ``app.Model:pk``.

    Raises `CachePatternsError`, which says what is wrong with it.
    """
    label, colon, pk = name.partition(":")
    if "." not in label:
        return app_target(label)
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        known = ", ".join(policy.model._meta.label for policy in site.policies())
        raise CachePatternsError(f"There is no model {label!r}. Registered: {known}.") from None
    if not colon:
        return model_target(model)
    policy = policy_of(model)
    try:
        value = model._meta.pk.to_python(pk)
    except Exception as error:
        raise CachePatternsError(f"{pk!r} is no primary key of {label}.") from error
    using = sorted(policy.databases)[0]
    found = model._base_manager.using(using).filter(pk=value).first()
    if found is None:
        # The row is gone from the database; a purge is wanted all the more.
        found = model(pk=value)
        found._state.db = using
    return object_target(found)


def _under_prefix(pattern: str) -> str:
    return f"{glob.escape(config().PREFIX)}:{pattern}"


def _bump_model(policy: ResolvedPolicy, source: str) -> int:
    return sum(
        invalidate(policy.model, using=alias, source=source) for alias in sorted(policy.databases)
    )
