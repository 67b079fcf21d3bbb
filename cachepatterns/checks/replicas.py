"""Checks of ``CACHEPATTERNS["REPLICAS"]``, and of replicas that it does not name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004
from django.db import DatabaseError, connections

from cachepatterns.checks.words import did_you_mean
from cachepatterns.conf import Config, user_settings
from cachepatterns.read.origin import is_standby
from cachepatterns.registry import site

NAME = 'CACHEPATTERNS["REPLICAS"]'


def check_replicas(**kwargs: Any) -> list[CheckMessage]:
    """Each replica has a primary, of its own kind; policies name primaries."""
    found = user_settings().get("REPLICAS", {})
    if not isinstance(found, Mapping):
        return [
            Error(
                f"{NAME} is a {type(found).__name__}, not a dict.",
                hint='Write {"replica": "default"}: each replica\'s alias and its primary\'s.',
                id="cachepatterns.E040",
            )
        ]
    return [*_pairs(found), *_policies(found), *_wait()]


def check_undeclared_replicas(**kwargs: Any) -> list[CheckMessage]:
    """Asks the databases that policies name; for ``check --deploy``."""
    named = {alias for policy in site.policies() for alias in policy.databases}
    return [
        Warning(
            f"DATABASES[{alias!r}] leads to a replica: what is read from it is never cached.",
            hint=f"If that is meant, name its primary: {NAME} = {{{alias!r}: …}}, and the "
            "primary in the policies' databases.",
            id="cachepatterns.W040",
        )
        for alias in sorted(named & set(connections))
        if _leads_to_standby(alias)
    ]


def _leads_to_standby(alias: str) -> bool:
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return False
    try:
        connection.ensure_connection()
        return is_standby(connection.connection)
    except DatabaseError:
        return False  # that it can not be reached is for others to say


def _pairs(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for replica, primary in found.items():
        unknown = [alias for alias in (replica, primary) if alias not in settings.DATABASES]
        if unknown:
            yield Error(
                f"{NAME} names {unknown[0]!r}, which DATABASES does not have.",
                hint=did_you_mean(unknown[0], settings.DATABASES),
                id="cachepatterns.E041",
            )
        elif primary in found:
            yield Error(
                f"{NAME} makes {primary!r} the primary of {replica!r}, but a replica too.",
                hint="Name the database that is written to, also for a replica's replica.",
                id="cachepatterns.E042",
            )
        elif connections[replica].vendor != connections[primary].vendor:
            yield Error(
                f"{NAME} makes {replica!r} ({connections[replica].vendor}) a replica of "
                f"{primary!r} ({connections[primary].vendor}).",
                hint="Only databases of one kind replicate each other.",
                id="cachepatterns.E043",
            )
        elif connections[replica].vendor != "postgresql":
            yield Info(
                f"What is read from the replica {replica!r} is never stored: only PostgreSQL "
                "tells how far a replica has come.",
                hint="Its reads are answered by what is read from the primary. Nothing is to be "
                "done, unless reads from the primary are rare.",
                id="cachepatterns.I040",
            )


def _policies(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for policy in site.policies():
        for alias in sorted(policy.databases & set(found)):
            yield Error(
                f"{policy.origin}: databases names {alias!r}, a replica of {found[alias]!r}.",
                hint=f"Name {found[alias]!r}: its replicas are cached with it.",
                obj=policy.model,
                id="cachepatterns.E044",
            )


def _wait() -> Iterator[CheckMessage]:
    value = user_settings().get("REPLICA_WAIT_SECONDS", Config().REPLICA_WAIT_SECONDS)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        yield Error(
            f'CACHEPATTERNS["REPLICA_WAIT_SECONDS"] is {value!r}, no number of seconds.',
            hint="0 does not wait for a replica that lags.",
            id="cachepatterns.E045",
        )
