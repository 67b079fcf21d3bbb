"""Reading the fleet's buckets: round trips here, arithmetic in `report`.

Goes to the backend itself, not through the store: what a page reads about the cache is no
use of the cache, and must not be counted as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cachepatterns.backends.base import Backend
from cachepatterns.backends.store import current_store
from cachepatterns.stats.buckets import (
    MINUTES,
    Period,
    heartbeat_key,
    recent_key,
    server_key,
)
from cachepatterns.stats.invalidations import KEPT, Invalidation, parsed

ERROR_MINUTES = 5
"""How many of the newest minutes are read whatever the period: what is wrong *now*."""
EVICTION_MINUTES = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """What Redis/Valkey says of itself; `None` where it would not tell."""

    version: str = ""
    used_memory: int | None = None
    maxmemory: int | None = None
    maxmemory_policy: str = ""
    evicted_keys: int | None = None
    evictions_per_minute: float | None = None
    clients: int | None = None


@dataclass(kw_only=True)
class Reading:
    """What was read from the backend, before anything was made of it."""

    buckets: list[dict[str, int]] = field(default_factory=list)
    minutes: list[dict[str, int]] = field(default_factory=list)
    alive: list[dict[str, int]] = field(default_factory=list)
    recent: list[Invalidation] = field(default_factory=list)
    server: Server = Server()


def read(period: Period, now: float) -> Reading:
    """Everything a report is made of. Raises `BackendError` or `ConfigurationError`."""
    backend = current_store().backend
    keys = [period.resolution.key(number) for number in period.numbers(now)]
    this_minute = MINUTES.number(now)
    recent_minutes = [MINUTES.key(this_minute - ago) for ago in reversed(range(ERROR_MINUTES))]
    # A process reports once or more per window, so two windows name all that are alive.
    windows = [heartbeat_key(now), heartbeat_key(now, windows_ago=1)]
    found = backend.counters([*keys, *recent_minutes, *windows])
    cut = len(keys), len(keys) + len(recent_minutes)
    return Reading(
        buckets=found[: cut[0]],
        minutes=found[cut[0] : cut[1]],
        alive=found[cut[1] :],
        recent=parsed(backend.newest(recent_key(), KEPT)),
        server=_server(backend.info(), recent_evictions(backend, now)),
    )


def _server(said: Mapping[str, Any], evictions: float | None) -> Server:
    def number(name: str) -> int | None:
        value = said.get(name)
        return value if isinstance(value, int) else None

    return Server(
        version=str(said.get("version") or ""),
        used_memory=number("used_memory"),
        maxmemory=number("maxmemory"),
        maxmemory_policy=str(said.get("maxmemory_policy") or ""),
        evicted_keys=number("evicted_keys"),
        evictions_per_minute=evictions,
        clients=number("clients"),
    )


def recent_evictions(backend: Backend, now: float) -> float | None:
    """Evictions per minute between the oldest and the newest of the last samples."""
    this_minute = MINUTES.number(now)
    minutes = [this_minute - ago for ago in reversed(range(EVICTION_MINUTES))]
    found = backend.get_many([server_key(minute) for minute in minutes])
    samples = []
    for minute, said in zip(minutes, found, strict=True):
        evicted = msgspec.json.decode(said).get("evicted_keys") if said is not None else None
        if isinstance(evicted, int):
            samples.append((minute, evicted))
    if len(samples) < 2:
        return None
    (first, before), (last, after) = samples[0], samples[-1]
    return max(0, after - before) / (last - first)
