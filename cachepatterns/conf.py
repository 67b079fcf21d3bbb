"""The one settings dict, ``CACHEPATTERNS``: typed, defaulted here, read live.

`config()` returns a frozen `Config`; it is rebuilt whenever Django says that the setting
changed, so ``override_settings`` just works. Unknown keys and impossible values are
reported by the system checks, not here: importing must never fail on a typo.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings with their defaults. Durations are seconds, sizes bytes."""

    ENABLED: bool = True
    """``False`` sends every read to the database (writes still invalidate)."""
    ALIAS: str = "default"
    """The ``CACHES`` alias (django-redis, or LocMemCache in tests) that holds entries."""
    PREFIX: str = "cp"
    """The first part of every key. Two sites on one Redis need two prefixes, and so do two on
    one database, unless they share the Redis and the prefix too: then they are one."""
    TIERS: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Named freshness policies, added to or overriding the built-in ones: ``ttl``, ``jitter``,
    ``negative_ttl`` (60: how long it is believed, at most, that there is nothing), ``local``
    (false: whether each process keeps what it reads in its own memory as well); and what may be
    done with an entry near its end and after it, all 0 or `None`: ``stale_for``,
    ``early_refresh``, ``stale_if_error``, ``max_age`` (see `cachepatterns.core.tier.Tier`)."""
    MODELS: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Policies for models whose code you do not own: ``{"auth.Group": {"tier": "static"}}``.
    ``"*"`` is every model that nothing else registers."""
    REPLICAS: Mapping[str, str] = field(default_factory=dict)
    """The database aliases that are read replicas, each with its primary's:
    ``{"replica": "default"}``. They share their primary's tags, entries and policies."""
    REPLICA_WAIT_SECONDS: float = 0.01
    """How long a miss that reads from a replica waits for it to replay what the primary has
    committed. Where it is further behind, the result is served, but not stored."""
    JITTER: float = 0.1
    """TTLs are shortened by up to this share, so that entries do not expire together."""
    FENCE_SECONDS: float = 5.0
    """How long a writer's registration lives unless it is renewed. The database must end a
    transaction sooner (``transaction_timeout``) for strictness to survive a paused writer."""
    ON_REDIS_ERROR: str = "database"
    """What a strict write does that can not register: ``"database"`` (it proceeds) or
    ``"refuse"`` (it raises `WriteRefused` and is rolled back)."""
    OUTBOX: bool = False
    """Whether writes record what they invalidate in their own transaction (one INSERT), so that
    a relay delivers what a crash or an unreachable Redis has kept from being bumped."""
    OUTBOX_RETENTION_SECONDS: float = 3600.0
    """How long delivered events are kept, to be replayed after a failover of Redis."""
    LEASE_SECONDS: float = 5.0
    """With the outbox: how long after a relay's last confirmation that nothing is undelivered
    the cache may still be read. It bounds the staleness that a writer cut off from Redis can
    cause."""
    RELAY: str = ""
    """``"thread"``: each web process relays in a thread of its own, for small sites that do
    without ``manage.py relay_invalidations``."""
    TRIGGERS: bool = False
    """Whether `cache_triggers install` was run: then statements that Django accounts for say so
    in a comment, which spares the triggers an event and readers a second bump."""
    REFRESH: str = "thread"
    """Who loads entries anew in the background (tiers with ``stale_for`` or ``early_refresh``):
    ``"thread"``: threads of the process that noticed; ``"tasks"``: Django's tasks framework (6.0
    and newer); or the path of a function of yours, which is given a message (a ``str``) and hands
    it to a worker, where `cachepatterns.refresh_entry` takes it."""
    REFRESH_THREADS: int = 2
    """How many threads of a process do that, or hand it over, at most."""
    REFRESH_QUEUE: int = 100
    """How many refreshes wait for them at most; further ones are left to later readers."""
    MAX_VALUE_BYTES: int = 1_000_000
    """Larger results are not stored, and counted as ``too large``."""
    COMPRESS_ABOVE: int = 16_384
    """Results of this size and more are compressed, which saves memory and network, and costs
    each hit the time to inflate them (docs/performance.md has the measurements)."""
    WRITE_THROUGH_MAX_ROWS: int = 100
    """Where a transaction has written more rows of a model with ``write_through`` than this, none
    of them is read again: they are invalidated only."""
    COUNTERS_ALIAS: str = ""
    """The ``CACHES`` alias that holds increments and events until they are written, if another one
    than ``ALIAS``: best on a server that does not evict, and appends to a file."""
    FLUSH: str = ""
    """``"thread"``: each web process writes them in a thread of its own, for sites that do
    without ``manage.py flush_counters --watch``."""
    NEAR_MAX_BYTES: int = 32_000_000
    """What each process keeps at most in its near-cache, for tiers with ``local``."""
    FLIGHT_TIMEOUT: float = 5.0
    """How long a reader waits for another thread's or process's load before loading for itself.
    Where a process dies that others wait for, one of them takes over after half of it."""
    BREAKER_SECONDS: float = 1.0
    """After a connection error the cache is left alone for this long."""
    NEGATIVE_PER_MINUTE: int = 1000
    """How many answers that hold nothing a process stores of one model, at once and then per
    minute. Further ones are not stored (reason ``flood``): keys that somebody makes up push
    nothing else out of Redis. 0 is no bound."""
    PURE_FUNCTIONS: tuple[str, ...] = ()
    """SQL functions of your own that always give the same answer for the same data."""
    SHORTCUTS: bool = True
    """``False`` takes the long ways: every query is built and compiled to find its key, all
    instances are made by ``__init__``, every UPDATE is compiled, no write is registered ahead or
    made ready while the database works, a transaction's BEGIN and its first write are sent apart,
    and Redis decodes the guard of a writer who is alone in it.

    Rows that are asked for by primary key or unique field (``get()``, ``in_bulk()``, foreign keys)
    have their key made of the value all the same: of them only what is missing is compiled."""
    VERIFY_SHARE: float = 0.05
    """The share of stored query results beside which is kept what was asked, so that
    ``cache_verify`` can ask the database again. Rows need nothing kept. 0 keeps nothing."""
    STATS: bool = True
    """Whether this process counts and reports its reads."""
    SHADOW: float = 0.0
    """The share of the hits that is compared with the database, ten a second and process at most:
    to be sure of a new policy, or of writers that nobody knows of. Each costs its read a query;
    mismatches are logged, counted and sent as the signal ``stale_hit``. Hits are those that Redis
    has answered: what a process answers from its own memory (tiers with ``local``) is not
    compared.

    ``CACHEPATTERNS_SHADOW`` in a process's environment counts instead: for one server, without a
    release."""
    HOT_SHARE: float = 0.02
    """Of a process's reads, beyond the first of every minute, the share of which the keys are
    noted, so that ``cache_stats --hot`` can tell what is read most, and ``cache_warm --hot`` asks
    it again after a deploy. 0 notes none."""
    STATS_FLUSH_SECONDS: float = 5.0
    """How often a process adds its counters to the fleet-wide ones."""
    TRACING: bool = True
    """Whether operations of the cache get OpenTelemetry spans, where the project has set a tracer
    provider and records the span that they are within."""
    PROMETHEUS: bool | None = None
    """Whether this process counts for Prometheus, in the default registry of prometheus_client.
    `None`: where django_prometheus is installed."""
    READ_ONLY: bool = False
    """``True`` removes every purge from the admin."""


KEYS = frozenset(f.name for f in fields(Config))
SHADOW_VARIABLE = "CACHEPATTERNS_SHADOW"

_current: Config | None = None


def user_settings() -> Mapping[str, Any]:
    """The dict as the user wrote it (empty if there is none or it is no dict)."""
    found = getattr(settings, "CACHEPATTERNS", None)
    return found if isinstance(found, Mapping) else {}


def config() -> Config:
    """The settings in force now."""
    global _current
    if _current is None:
        given = {k: v for k, v in user_settings().items() if k in KEYS}
        with suppress(ValueError):  # the checks tell of it
            given |= from_environment()
        _current = Config(**given)
    return _current


def from_environment() -> dict[str, Any]:
    """The settings that the environment gives. Raises `ValueError` for what is no number."""
    share = os.environ.get(SHADOW_VARIABLE)
    return {"SHADOW": float(share)} if share else {}


def _forget(*, setting: str, **kwargs: object) -> None:
    global _current
    if setting in {"CACHEPATTERNS", "CACHES"}:
        _current = None


setting_changed.connect(_forget, dispatch_uid="cachepatterns.conf")
