"""Checks of the ``CACHES`` alias that holds the entries. Nothing here asks the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from cachepatterns.backends.store import make_backend
from cachepatterns.checks.words import did_you_mean
from cachepatterns.conf import config, user_settings
from cachepatterns.exceptions import ConfigurationError

LONG_TIMEOUT = 2.0
"""Seconds a page may wait for the cache: above, a slow cache is worse than none."""
RETRIES = ("retry", "retry_on_timeout", "retry_on_error")
CACHE_SESSIONS = (
    "django.contrib.sessions.backends.cache",
    "django.contrib.sessions.backends.cached_db",
)


def check_alias(**kwargs: Any) -> list[CheckMessage]:
    """The alias exists, can hold entries, and can not hold up a page."""
    alias = config().ALIAS
    if alias not in settings.CACHES:
        return [
            Error(
                f'CACHEPATTERNS["ALIAS"] is {alias!r}, which CACHES does not have.',
                hint=did_you_mean(alias, settings.CACHES),
                id="cachepatterns.E002",
            )
        ]
    options = settings.CACHES[alias]
    try:
        backend = make_backend(alias)
    except (ConfigurationError, ImportError) as error:
        return [
            Error(
                f"CACHES[{alias!r}] can not hold entries: {error}",
                hint='Set its BACKEND to "django_redis.cache.RedisCache".',
                id="cachepatterns.E003",
            )
        ]
    found = [*_sessions(alias)]
    if backend.name == "locmem":
        found += _locmem(alias)
    else:
        found += _timeout(alias, options)
        found += _retries(alias, options)
    return found


def _locmem(alias: str) -> Iterator[CheckMessage]:
    if not settings.DEBUG:
        yield Warning(
            f"CACHES[{alias!r}] is LocMemCache: each process has a cache of its own, so the "
            "writes of one do not invalidate what the others hold.",
            hint='Set its BACKEND to "django_redis.cache.RedisCache".',
            id="cachepatterns.W003",
        )


def _timeout(alias: str, conf: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = conf.get("OPTIONS") or {}
    pool = options.get("CONNECTION_POOL_KWARGS") or {}
    timeout = options.get("SOCKET_TIMEOUT", pool.get("socket_timeout"))
    locations = conf.get("LOCATION") or ""
    for location in [locations] if isinstance(locations, str) else locations:
        asked = parse_qs(urlsplit(str(location)).query).get("socket_timeout")
        if timeout is None and asked:
            timeout = float(asked[0])
    hint = f'Set CACHES[{alias!r}]["OPTIONS"]["SOCKET_TIMEOUT"] to a second or less.'
    if timeout is None:
        yield Warning(
            f"CACHES[{alias!r}] has no socket timeout: when Redis hangs, every page does.",
            hint=hint,
            id="cachepatterns.W004",
        )
    elif timeout > LONG_TIMEOUT:
        yield Warning(
            f"CACHES[{alias!r}] has a socket timeout of {timeout:g} seconds: a page may wait "
            "that long before it asks the database.",
            hint=hint,
            id="cachepatterns.W004",
        )


def _retries(alias: str, conf: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = conf.get("OPTIONS") or {}
    given = {**options, **(options.get("CONNECTION_POOL_KWARGS") or {})}
    locations = conf.get("LOCATION") or ""
    for location in [locations] if isinstance(locations, str) else locations:
        given |= {k: v[0] for k, v in parse_qs(urlsplit(str(location)).query).items()}
    asked = [name for name in RETRIES if given.get(name) not in (None, False, [], "false", "no")]
    if asked:
        yield Warning(
            f"CACHES[{alias!r}] retries ({', '.join(asked)}): when Redis is away, every page "
            "waits that many times before it asks the database.",
            hint="Leave it out. A connection that was closed while it was idle is opened anew "
            "all the same.",
            id="cachepatterns.W012",
        )


def check_prefix(**kwargs: Any) -> list[CheckMessage]:
    """The site has keys of its own; for ``check --deploy``."""
    if "PREFIX" in user_settings():
        return []
    return [
        Warning(
            f'CACHEPATTERNS has no PREFIX: keys begin with "{config().PREFIX}:", as those of any '
            "other site on the same Redis that has said nothing.",
            hint='Name it after the site: CACHEPATTERNS["PREFIX"] = "shop". Sites that share a '
            "database share the prefix, too.",
            id="cachepatterns.W013",
        )
    ]


def _sessions(alias: str) -> Iterator[CheckMessage]:
    if settings.SESSION_ENGINE in CACHE_SESSIONS and alias == settings.SESSION_CACHE_ALIAS:
        yield Warning(
            f"Sessions share the cache alias {alias!r} with the cached models: where memory is "
            "short, entries push sessions out.",
            hint="Give sessions an alias of their own (SESSION_CACHE_ALIAS), best on a server "
            'that does not evict; or set SESSION_ENGINE = "cachepatterns.contrib.sessions", which '
            "reads from the database what was evicted.",
            id="cachepatterns.W005",
        )
