"""What Redis says of itself: memory, evictions, clients, replicas.

All of it is in ``INFO``, so that managed services, which deny ``CONFIG``, answer too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from cachepatterns.backends.base import Backend
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.live.finding import Finding, State
from cachepatterns.stats.reading import recent_evictions

TOPIC = "redis"
FULL = 0.8
"""The share of memory, or of clients, from which on it is too much."""
EVICTIONS_PER_MINUTE = 1.0
LAG_SECONDS = 1.0
DENIED = frozenset({"noperm", "nopermissionerror"})


def server_findings() -> Iterator[Finding]:
    """Everything about the server behind the alias; never raises."""
    alias = config().ALIAS
    try:
        backend = current_store().backend
        backend.ping()
    except (BackendError, ConfigurationError) as error:
        yield Finding(
            topic=TOPIC,
            state=State.UNREACHABLE,
            text=f"The server of CACHES[{alias!r}] does not answer: {error}",
            hint=f"Start it, or correct CACHES[{alias!r}]['LOCATION']. Until then every read "
            "goes to the database.",
            id="E025",
        )
        return
    yield from _info_findings(backend)


def _info_findings(backend: Backend) -> Iterator[Finding]:
    try:
        said = backend.info()
    except BackendError as error:
        denied = getattr(error, "kind", "") in DENIED
        yield Finding(
            topic=TOPIC,
            state=State.UNKNOWN if denied else State.FAILURE,
            text=f"Memory, evictions and replicas are unknown: {error}",
            hint="Allow the Redis user the command INFO (ACL SETUSER … +info). Without it "
            "failovers are not noticed either.",
            id="I021",
        )
        return
    yield Finding(topic=TOPIC, state=State.OK, text=f"{said.get('version')} answers")
    if backend.name != "redis":
        return
    yield from _memory(said)
    yield from _evictions(backend, said)
    yield from _clients(said)
    yield from _replicas(said)


def _memory(said: Mapping[str, Any]) -> Iterator[Finding]:
    used, limit = said.get("used_memory"), said.get("maxmemory")
    policy = said.get("maxmemory_policy")
    if limit == 0:
        yield Finding(
            topic=TOPIC,
            state=State.WARNING,
            text="maxmemory is 0: Redis takes memory until the system kills it.",
            hint="Set maxmemory in redis.conf (or CONFIG SET maxmemory 512mb) and "
            "maxmemory-policy volatile-lru.",
            id="W022",
        )
    elif policy == "noeviction":
        yield Finding(
            topic=TOPIC,
            state=State.WARNING,
            text="maxmemory-policy is noeviction: when memory is full, nothing is cached any "
            "more and writers can not register.",
            hint="Set maxmemory-policy volatile-lru (the guards, which have no TTL, then stay) "
            "or allkeys-lru.",
            id="W021",
        )
    if limit and used is not None:
        share = used / limit
        text = f"{share:.0%} of {limit / 2**20:.0f} MB are used ({policy})"
        if share > FULL:
            yield Finding(
                topic=TOPIC,
                state=State.WARNING,
                text=text,
                hint="Raise maxmemory, or cache less: `manage.py cache_stats` says what pays.",
                id="W023",
            )
        else:
            yield Finding(topic=TOPIC, state=State.OK, text=text)


def _evictions(backend: Backend, said: Mapping[str, Any]) -> Iterator[Finding]:
    per_minute, when = recent_evictions(backend, time.time()), "in the last minutes"
    if per_minute is None and said.get("uptime") is not None:
        per_minute = said.get("evicted_keys", 0) / max(1.0, said["uptime"] / 60)
        when = "on average since the server's start"
    if per_minute is None:
        return
    text = f"{per_minute:.0f} keys a minute were evicted {when}"
    if per_minute >= EVICTIONS_PER_MINUTE:
        yield Finding(
            topic=TOPIC,
            state=State.WARNING,
            text=text,
            hint="Raise maxmemory. An evicted guard keeps its model out of the cache for "
            "FENCE_SECONDS.",
            id="W024",
        )
    else:
        yield Finding(topic=TOPIC, state=State.OK, text=text)


def _clients(said: Mapping[str, Any]) -> Iterator[Finding]:
    clients, most = said.get("clients"), said.get("maxclients")
    if not clients or not most:
        return
    text = f"{clients} of {most} clients are connected"
    if clients / most > FULL:
        yield Finding(
            topic=TOPIC,
            state=State.WARNING,
            text=f"{text}; further ones will be turned away.",
            hint="Raise maxclients, or lower max_connections in CONNECTION_POOL_KWARGS.",
            id="W025",
        )
    else:
        yield Finding(topic=TOPIC, state=State.OK, text=text)


def _replicas(said: Mapping[str, Any]) -> Iterator[Finding]:
    replicas: Mapping[str, float] = said.get("replicas") or {}
    late = {name: lag for name, lag in replicas.items() if lag > LAG_SECONDS}
    for name, lag in late.items():
        yield Finding(
            topic=TOPIC,
            state=State.WARNING,
            text=f"The replica {name} has last been heard of {lag:g} seconds ago.",
            hint="A failover to it would lose what was written since; look at its network and "
            "at client-output-buffer-limit replica.",
            id="W026",
        )
    if replicas and not late:
        yield Finding(topic=TOPIC, state=State.OK, text=f"{len(replicas)} replicas keep up")
