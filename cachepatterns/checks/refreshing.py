"""Checks of what tiers allow near an entry's end and after it, and of who refreshes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
from django.core.checks import CheckMessage, Error

from cachepatterns.conf import config, user_settings
from cachepatterns.core.tier import Tier
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.handing import TASKS, THREAD, sender
from cachepatterns.registry import site, tiers

SOFT_OPTIONS = ("stale_for", "early_refresh", "stale_if_error", "max_age")


def check_refreshing(**kwargs: Any) -> list[CheckMessage]:
    """Options that are no numbers, or can have no effect; who is to refresh and can not."""
    return [*_values(), *_effects(), *_policies(), *_who()]


def _values() -> Iterator[CheckMessage]:
    for name, options in user_settings().get("TIERS", {}).items():
        for option in SOFT_OPTIONS:
            value = options.get(option, 0)
            if value is None and option == "max_age":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                unit = "a share" if option == "early_refresh" else "seconds"
                yield Error(
                    f'CACHEPATTERNS["TIERS"]["{name}"]: {option} is {value!r}, not 0 or more.',
                    hint=f"It is given in {unit}; 0 switches it off. It is off now.",
                    id="cachepatterns.E020",
                )


def _effects() -> Iterator[CheckMessage]:
    mine = user_settings().get("TIERS", {})
    for name, tier in tiers().items():
        if name in mine:
            yield from _effect(tier, f'CACHEPATTERNS["TIERS"]["{name}"]')


def _effect(tier: Tier, where: str) -> Iterator[CheckMessage]:
    if tier.ttl is None:
        return
    if tier.max_age and tier.max_age <= tier.ttl:
        yield Error(
            f"{where}: max_age is {tier.max_age:g}, and the TTL {tier.ttl:g}: hits can give no "
            "entry a longer life.",
            hint="ttl is how long an entry lives that nobody asks for, max_age how long one that "
            "is asked for all the time: let it be greater, or leave it out.",
            id="cachepatterns.E021",
        )
    if tier.stale_for and tier.stale_if_error and tier.stale_if_error <= tier.stale_for:
        yield Error(
            f"{where}: stale_if_error ({tier.stale_if_error:g}) ends no later than stale_for "
            f"({tier.stale_for:g}), in which an expired entry is served anyway.",
            hint="Both count from the TTL: let stale_if_error be greater, or leave it out.",
            id="cachepatterns.E022",
        )


def _policies() -> Iterator[CheckMessage]:
    for policy in site.policies():
        if policy.policy.ttl is not None:
            yield from _effect(policy.tier, policy.origin)
        yield from _serves_invalidated(policy)


def _serves_invalidated(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    accepted = policy.policy.serve_invalidated
    if accepted is None:
        return
    if isinstance(accepted, bool) or not isinstance(accepted, (int, float)) or accepted <= 0:
        yield Error(
            f"{policy.origin}: serve_invalidated is {accepted!r}, not a positive number of "
            "seconds.",
            hint="Leave it out, and what a write has outdated is never served.",
            obj=policy.model,
            id="cachepatterns.E023",
        )
    elif policy.is_strict:
        yield Error(
            f"{policy.origin}: serve_invalidated of a strict policy: {policy.label} can not be "
            "both never outdated and served outdated. It is not.",
            hint='Say consistency = "eventual" as well, or leave serve_invalidated out.',
            obj=policy.model,
            id="cachepatterns.E023",
        )


def _who() -> Iterator[CheckMessage]:
    refresh = config().REFRESH
    if refresh == THREAD:
        return
    if refresh == TASKS and django.VERSION < (6, 0):
        yield Error(
            'CACHEPATTERNS["REFRESH"] is "tasks", which Django has from 6.0 on; this is '
            f"{django.get_version()}.",
            hint='Take "thread", or the path of a function that hands messages to your queue.',
            id="cachepatterns.E024",
        )
        return
    try:
        found: Any = sender(str(refresh))
    except Exception as error:
        problem = f"can not be imported: {error}"
    else:
        problem = "" if callable(found) else "can not be called"
    if problem:
        yield Error(
            f'CACHEPATTERNS["REFRESH"] is {refresh!r}, which {problem}.',
            hint='Take "thread", "tasks" (Django 6.0 and newer), or the dotted path of a function '
            "that is given a message and hands it to a worker, where "
            "cachepatterns.refresh_entry(message) takes it.",
            id="cachepatterns.E024",
        )
