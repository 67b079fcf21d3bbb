"""Checks of what a crash or an unreachable Redis may leave stale."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004

from cachepatterns.conf import config
from cachepatterns.registry import site

OUTBOX = 'Set CACHEPATTERNS["OUTBOX"] = True and run `manage.py relay_invalidations`'


def check_eventual(**kwargs: Any) -> list[CheckMessage]:
    """Eventual consistency is eventual only if somebody delivers what a crash has lost."""
    if config().OUTBOX:
        return []
    return [
        Warning(
            f"{policy.origin}: {policy.label} is eventual, and there is no outbox: if a process "
            "dies between its COMMIT and the bump, the old value is served until the TTL.",
            hint=f'{OUTBOX}; or consistency = "strict".',
            obj=policy.model,
            id="cachepatterns.W010",
        )
        for policy in site.policies()
        if not policy.is_strict and policy.tier.caches
    ]


def check_redis_error(**kwargs: Any) -> list[CheckMessage]:
    """Strict is as strict as what happens to writes while Redis is away."""
    conf = config()
    if conf.OUTBOX or conf.ON_REDIS_ERROR != "database":
        return []
    if not any(policy.is_strict and policy.tier.caches for policy in site.policies()):
        return []
    return [
        Warning(
            "A strict write that can not reach Redis proceeds, and there is no outbox: others "
            "may be served the old value until its process delivers the bump, and, if it dies "
            "first, until the TTL.",
            hint=f'{OUTBOX}; or CACHEPATTERNS["ON_REDIS_ERROR"] = "refuse", which rolls such '
            "writes back.",
            id="cachepatterns.W011",
        )
    ]
