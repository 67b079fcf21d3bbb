"""Explicit invalidation of computed values."""

from __future__ import annotations


def drop(tag: str, source: str = "explicit") -> int:
    """Invalidate what carries this tag; in a transaction after its commit."""
    # Needs the app registry; functions are decorated long before it is there.
    from cachepatterns.explicit import invalidate

    return invalidate(tag, source=source)
