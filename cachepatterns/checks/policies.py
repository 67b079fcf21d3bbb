"""Checks of the policies, and of the models they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.db import models

from cachepatterns.checks.local import check_local
from cachepatterns.checks.settings import check_ttl, check_volatile
from cachepatterns.checks.words import did_you_mean
from cachepatterns.declarations import is_secret
from cachepatterns.policy import ResolvedPolicy, kind_of, says_warm, void_if_never
from cachepatterns.queryset import CachedQuerySetMixin
from cachepatterns.registry import site, tiers
from cachepatterns.sources import lacks_sources, named_sources, source

MANAGERS = frozenset({"declared", "all"})
UNSTORABLE = frozenset({"RangeField", "HStoreField"})
SENSITIVE_FIELDS = frozenset(
    {
        "password", "passwd", "password_hash", "passphrase", "secret", "secret_key",
        "client_secret", "private_key", "api_key", "apikey", "access_token", "refresh_token",
        "auth_token", "session_key", "session_data", "otp_secret", "totp_secret", "card_number",
        "cvc", "cvv",
    }
)  # fmt: skip

LARGE_BYTES = 100_000
"""A field whose values may be larger has no place in the row cache."""


def check_policies(**kwargs: Any) -> list[CheckMessage]:
    """Tiers, TTLs, fields, databases; base managers; what had better not be cached."""
    found: list[CheckMessage] = []
    has_wildcard = False
    for policy in site.policies():
        if not (policy.by_wildcard and has_wildcard):  # said once, wrong once
            found += _tier(policy)
            found += _databases(policy)
            found += _managers(policy)
        has_wildcard |= policy.by_wildcard
        found += _narrowing(policy)
        found += _ignores(policy)
        found += _sources(policy)
        found += _base_manager(policy)
        found += _sensitive(policy)
        found += _unstorable(policy)
        found += _huge(policy)
        found += _never(policy)
    return found


def _tier(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    name = policy.policy.tier
    if name not in tiers():
        yield Error(
            f"{policy.origin}: there is no tier {name!r}; {policy.label} is not cached.",
            hint=did_you_mean(name, tiers()),
            obj=policy.model,
            id="cachepatterns.E007",
        )
    if policy.policy.ttl is not None:
        yield from check_ttl(policy.policy.ttl, policy.origin)
        yield from check_volatile(name, policy.policy.ttl, policy.origin)
    yield from check_local(policy)


def _narrowing(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    declared = policy.policy
    meta: Any = policy.model._meta
    fields = {f.name: f for f in meta.get_fields()}
    for option in ("narrow_by", "narrow_by_only"):
        for name in getattr(declared, option) or ():
            if name not in fields:
                yield Error(
                    f"{policy.origin}: {option} names {name!r}, which is no field of "
                    f"{policy.label}.",
                    hint=did_you_mean(name, fields),
                    obj=policy.model,
                    id="cachepatterns.E010",
                )
            elif not _can_be_spelled(fields[name], policy):
                yield Error(
                    f"{policy.origin}: {option} names {name!r}, whose values can not be spelled "
                    "in a tag.",
                    hint="Only stock integer, boolean, text (without collation), UUID and date "
                    "fields, and foreign keys to such, of the model's own table have one "
                    "spelling per value. Leave the field out.",
                    obj=policy.model,
                    id="cachepatterns.E011",
                )


def _can_be_spelled(field: Any, policy: ResolvedPolicy) -> bool:
    return (
        getattr(field, "column", None) is not None
        and field.model is policy.model
        and kind_of(field) is not None
    )


def _ignores(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    meta: Any = policy.model._meta
    fields = {f.name: f for f in meta.get_fields()}
    for name in policy.policy.ignores:
        if name not in fields:
            reason, hint = f"which is no field of {policy.label}", did_you_mean(name, fields)
        elif why := policy.why_not_ignored(fields[name]):
            reason, hint = f"which can not be ignored: {why}", "Leave the field out."
        else:
            continue
        yield Error(
            f"{policy.origin}: ignores names {name!r}, {reason}. Its writes invalidate.",
            hint=hint,
            obj=policy.model,
            id="cachepatterns.E060",
        )


def _databases(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    for alias in sorted(policy.databases - set(settings.DATABASES)):
        yield Error(
            f"{policy.origin}: databases names {alias!r}, which DATABASES does not have.",
            hint=did_you_mean(alias, settings.DATABASES),
            obj=policy.model,
            id="cachepatterns.E012",
        )


def _managers(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    managers = policy.policy.managers
    if managers is not None and managers not in MANAGERS:
        yield Error(
            f"{policy.origin}: managers is {managers!r}.",
            hint=did_you_mean(managers, MANAGERS),
            obj=policy.model,
            id="cachepatterns.E015",
        )


def _sources(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if lacks_sources(policy.model, policy.policy):
        yield Error(
            f"{policy.label} is unmanaged and its policy does not say what feeds its table; it "
            "is not cached.",
            hint="If it is a view, name the models whose tables it reads: depends_on = "
            '["app.Model", …]. A table of its own or a materialized view: depends_on = [].',
            obj=policy.model,
            id="cachepatterns.E016",
        )
    for named in named_sources(policy.policy):
        if source(named) is None:
            known = [model._meta.label for model in apps.get_models(include_auto_created=True)]
            yield Error(
                f"{policy.origin}: depends_on names {named!r}, which is no installed model.",
                hint=did_you_mean(str(named), known),
                obj=policy.model,
                id="cachepatterns.E017",
            )


_SESSIONS = "cachepatterns.contrib.sessions.SessionPolicy"
"""The policy by which we read Django's own sessions."""


def _base_manager(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if policy.is_from_settings or policy.origin == _SESSIONS:
        return  # other people's models: their managers are not yours to change
    if not policy.tier.caches:
        return  # whichever it is, the database is read
    manager: Any = policy.model._base_manager
    queryset = manager.get_queryset()
    if not isinstance(queryset, CachedQuerySetMixin):
        yield Warning(
            f"The base manager of {policy.label} is not a CachedManager: foreign keys to it are "
            "read from the database.",
            hint='Set objects = CachedManager() and Meta.base_manager_name = "objects".',
            obj=policy.model,
            id="cachepatterns.W001",
        )
    if queryset.query.where or queryset.query.is_sliced:
        yield Warning(
            f"The base manager of {policy.label} leaves rows out: Django must find every row "
            "through it, and so must the row cache.",
            hint="Give the model an unfiltered CachedManager as base manager, and a filtered "
            "one beside it.",
            obj=policy.model,
            id="cachepatterns.W002",
        )


def _sensitive(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if not policy.tier.caches:
        return
    meta: Any = policy.model._meta
    secrets = sorted(SENSITIVE_FIELDS & {f.name for f in meta.concrete_fields})
    if policy.origin == _SESSIONS:
        return  # chosen by SESSION_ENGINE; any engine that caches does so
    if is_secret(policy.model) or secrets:
        what = f"its field {secrets[0]!r}" if secrets else "what lets people in"
        yield Warning(
            f"{policy.label} is cached with {what}: whoever reads Redis reads it.",
            hint='Use tier = "never" for it, or silence this check if Redis is as well guarded '
            "as the database.",
            obj=policy.model,
            id="cachepatterns.W006",
        )


def _huge(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if not policy.tier.caches:
        return
    meta: Any = policy.model._meta
    for field in meta.concrete_fields:
        longest = getattr(field, "max_length", None) or float("inf")
        if isinstance(field, models.BinaryField) and longest > LARGE_BYTES:
            yield Warning(
                f"{policy.label} is cached with its field {field.name!r}, whose values may be of "
                "any size: each row that is read takes them through Redis and back.",
                hint=f'Read such rows with .defer("{field.name}"), keep the bytes in a file or '
                'in a model of their own with tier = "never"; or give the field a max_length. '
                "Results above MAX_VALUE_BYTES are not stored at all.",
                obj=policy.model,
                id="cachepatterns.W007",
            )


def _never(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    """What a policy says that its own tier makes void."""
    if policy.policy.tier != "never" or policy.by_wildcard:
        return
    void = [*void_if_never(policy.policy)]
    if says_warm(policy.policy):
        void.append("warm()")
    if void:
        yield Warning(
            f"{policy.label} is never cached, but {policy.origin} also says {' and '.join(void)}: "
            "that has no effect.",
            hint='Take it out, or choose another tier than "never".',
            obj=policy.model,
            id="cachepatterns.W008",
        )


def _unstorable(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if not policy.tier.caches or policy.by_wildcard:
        return
    meta: Any = policy.model._meta
    names = [field.name for field in meta.concrete_fields if not _has_codec(field)]
    if names:
        yield Warning(
            f"{policy.label}: the values of {', '.join(map(repr, names))} can not be stored, so "
            "no row of it ever is.",
            hint='Use tier = "never", or keep such columns in a model of their own. Queries that '
            "leave them out (values(), only()) are cached.",
            obj=policy.model,
            id="cachepatterns.W015",
        )


def _has_codec(field: Any) -> bool:
    """Whether the codec knows what the driver gives for a field; of fields of one's own nobody
    knows."""
    base = getattr(field, "base_field", None)
    if base is not None and type(field).__name__ == "ArrayField":
        return _has_codec(base)
    return not any(
        cls.__name__ in UNSTORABLE and cls.__module__.startswith("django.contrib.postgres.")
        for cls in type(field).__mro__
    )
