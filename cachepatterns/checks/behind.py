"""Checks of what is written behind: only what adds up in whatever order, or is only appended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info

from cachepatterns.behind import why_no_counter, why_no_events
from cachepatterns.checks.words import did_you_mean
from cachepatterns.conf import config
from cachepatterns.core.behind import WriteBehind, seconds_of
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site


def check_behind(**kwargs: Any) -> list[CheckMessage]:
    """Counters, events, and the alias that holds them."""
    found = list(_alias())
    for policy in site.policies():
        found += _counters(policy)
        found += _events(policy)
    return found


def _alias() -> Iterator[CheckMessage]:
    alias = config().COUNTERS_ALIAS
    if alias and alias not in settings.CACHES:
        yield Error(
            f'CACHEPATTERNS["COUNTERS_ALIAS"] is {alias!r}, which CACHES does not have.',
            hint=did_you_mean(alias, settings.CACHES),
            id="cachepatterns.E064",
        )


def _counters(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    for name, said in policy.policy.counters.items():
        where = f"{policy.origin}: counters[{name!r}]"
        if not isinstance(said, WriteBehind) or said.events:
            yield Error(
                f'{where} is {said!r}, not WriteBehind(every="10s").',
                hint="Events have a model of their own: events = WriteBehind(events=True).",
                obj=policy.model,
                id="cachepatterns.E061",
            )
        elif why := why_no_counter(policy, name):
            yield Error(
                f"{where} can not be written behind: {why}.",
                hint="Increments of it raise. Update the field by F(), which is exact at once.",
                obj=policy.model,
                id="cachepatterns.E061",
            )
        elif name not in policy.policy.ignores:
            yield Info(
                f"{where} is not ignored: each batch invalidates the rows it counts, and the "
                "lists they stand in.",
                hint=f"ignores = [{name!r}] keeps them; with_pending() shows the count.",
                obj=policy.model,
                id="cachepatterns.I060",
            )
        yield from _every(said, where, policy)


def _events(policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    said, where = policy.policy.events, f"{policy.origin}: events"
    if said is None:
        return
    if not isinstance(said, WriteBehind) or not said.events:
        yield Error(
            f"{where} is {said!r}, not WriteBehind(events=True).",
            hint='Counters of a model are named: counters = {"views": WriteBehind()}.',
            obj=policy.model,
            id="cachepatterns.E062",
        )
    elif why := why_no_events(policy):
        yield Error(
            f"{where}: rows of {policy.label} can not be written behind: {why}.",
            hint="Only rows that are appended, and never refused, can come later.",
            obj=policy.model,
            id="cachepatterns.E062",
        )
    yield from _every(said, where, policy)


def _every(said: object, where: str, policy: ResolvedPolicy) -> Iterator[CheckMessage]:
    if isinstance(said, WriteBehind) and seconds_of(said.every) is None:
        yield Error(
            f"{where}: every is {said.every!r}, no duration.",
            hint='"500ms", "10s", "5m", "1h", or a number of seconds.',
            obj=policy.model,
            id="cachepatterns.E063",
        )
