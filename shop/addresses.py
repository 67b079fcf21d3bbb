"""DATABASE_URL and CACHE_URL: read into Django's settings, and tried before anything needs them.

postgres://user:password@host:5432/name?sslmode=require     sqlite:///path/to/file
mysql://user:password@host/name        redis://host:6379/0  rediss://…  redis+unix:///socket?db=0
"""

import socket
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
    "sqlite": "django.db.backends.sqlite3",
}
DEFAULT_PORTS = {"postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}
CACHE_SCHEMES = ("redis", "rediss", "redis+unix", "unix")
CONNECT_SECONDS = 3.0


class BadAddress(ValueError):
    """The address is not one that the shop can use; the message says what is wrong with it."""


class Unreachable(Exception):
    """Nothing answers at the address; the message is the one line to show."""


def database_settings(url: str) -> dict[str, Any]:
    """Return the entry for DATABASES; everything after `?` becomes the driver's options."""
    parts = _split("DATABASE_URL", url, tuple(ENGINES))
    engine = ENGINES[parts.scheme]
    if parts.scheme == "sqlite":
        return {"ENGINE": engine, "NAME": _sqlite_name(parts)}
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise BadAddress(f"DATABASE_URL names no database: {_shown(parts)}")
    return {
        "ENGINE": engine,
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


def cache_location(url: str) -> str:
    """Return the address as django-redis wants it, which calls a socket `unix://`."""
    _split("CACHE_URL", url, CACHE_SCHEMES)
    return url.replace("redis+unix://", "unix://", 1)


def require_reachable(variable: str, url: str) -> None:
    """Raise `Unreachable` unless somebody listens there: one line instead of a traceback."""
    known = (*ENGINES, *CACHE_SCHEMES)
    parts = _split(variable, url, known)
    try:
        if parts.scheme == "sqlite":
            name = _sqlite_name(parts)
            if name != ":memory:" and not Path(name).parent.is_dir():
                raise FileNotFoundError("no such folder")
        elif parts.scheme in ("redis+unix", "unix"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CONNECT_SECONDS)
                probe.connect(unquote(parts.path))
        else:
            port = parts.port or DEFAULT_PORTS.get(parts.scheme, 6379)
            host = parts.hostname or "localhost"
            socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unreachable(f"{variable}: no server at {_shown(parts)} ({reason})") from error


def _split(variable: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked only when asked for
    except ValueError as error:
        raise BadAddress(f"{variable} is not an address: {error}") from error
    if parts.scheme not in schemes:
        expected = ", ".join(f"{scheme}://" for scheme in schemes)
        raise BadAddress(f"{variable} must begin with one of {expected}")
    return parts


def _sqlite_name(parts: SplitResult) -> str:
    # sqlite:///relative, sqlite:////absolute, and nothing or :memory: for one that is not kept.
    path = unquote(parts.path.removeprefix("/"))
    return path if path not in ("", ":memory:") else ":memory:"


def _shown(parts: SplitResult) -> str:
    """The address without its password, fit for a terminal."""
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
