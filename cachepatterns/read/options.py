"""What a caller says of one query: carried by the query, copied with every clone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

_uncached: ContextVar[str] = ContextVar("cachepatterns_uncached", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """`enabled` is ``False`` after ``.uncached()``; tier, TTL and tags override the policy's."""

    enabled: bool = True
    tier: str | None = None
    ttl: float | None = None
    tags: tuple[str, ...] = ()
    """The standing tags an entry carries beside its models' (named tags with families)."""


DEFAULT = ReadOptions()


@contextlib.contextmanager
def uncached(reason: str = "uncached block") -> Iterator[None]:
    """Within this block, every cached queryset reads the database.

    Holds for the current thread or async task; writes still invalidate. `reason` is what the
    reads are counted under.
    """
    token = _uncached.set(reason)
    try:
        yield
    finally:
        _uncached.reset(token)


def why_uncached() -> str:
    """Why reads are kept from the cache here; empty if they are not."""
    return _uncached.get()
