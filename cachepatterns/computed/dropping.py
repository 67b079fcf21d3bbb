"""Explicit invalidation of computed values."""

from __future__ import annotations

from cachepatterns.core.tag import tag

_BY_HAND = f":{tag('', 'by hand').partition(':')[2]}"


def hand_tag(name: str) -> str:
    """The tag that is bumped with any value of a function that is dropped by hand."""
    return f"{tag(name)}{_BY_HAND}"


def is_hand_tag(name: str) -> bool:
    return name.endswith(_BY_HAND)


def drop(*tags: str, source: str = "explicit") -> int:
    """Invalidate what carries one of these tags; in a transaction after its commit."""
    # Needs the app registry; functions are decorated long before it is there.
    from cachepatterns.explicit import invalidate

    return invalidate(*tags, source=source)
