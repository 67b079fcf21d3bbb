"""cachepatterns: an ORM cache for Django that does not serve stale rows.

Importable before the app registry is ready: what needs models is loaded when it is asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachepatterns.announcing import announces
    from cachepatterns.computed.door import aget_or_compute, cached, get_or_compute
    from cachepatterns.core.behind import WriteBehind
    from cachepatterns.core.change import Change
    from cachepatterns.core.tag import ANY, tag
    from cachepatterns.counting import (
        aincrement,
        arecord_event,
        increment,
        pending,
        record_event,
        with_pending,
    )
    from cachepatterns.explicit import ainvalidate, invalidate, invalidate_on_commit
    from cachepatterns.importing import no_invalidation
    from cachepatterns.managers import CachedManager
    from cachepatterns.policy import ModelPolicy
    from cachepatterns.queryset import CachedQuerySet
    from cachepatterns.read.options import uncached
    from cachepatterns.read.revalidating import refresh_entry
    from cachepatterns.registry import register
    from cachepatterns.rendered.views import cached_view
    from cachepatterns.signals import invalidated, stale_hit

__version__ = "0.1.0"

_HOMES = {
    "ANY": "core.tag",
    "CachedManager": "managers",
    "CachedQuerySet": "queryset",
    "Change": "core.change",
    "ModelPolicy": "policy",
    "WriteBehind": "core.behind",
    "aget_or_compute": "computed.door",
    "aincrement": "counting",
    "ainvalidate": "explicit",
    "announces": "announcing",
    "arecord_event": "counting",
    "cached": "computed.door",
    "cached_view": "rendered.views",
    "get_or_compute": "computed.door",
    "increment": "counting",
    "invalidate": "explicit",
    "invalidate_on_commit": "explicit",
    "invalidated": "signals",
    "no_invalidation": "importing",
    "pending": "counting",
    "record_event": "counting",
    "refresh_entry": "read.revalidating",
    "register": "registry",
    "stale_hit": "signals",
    "tag": "core.tag",
    "uncached": "read.options",
    "with_pending": "counting",
}

__all__ = [
    "ANY",
    "CachedManager",
    "CachedQuerySet",
    "Change",
    "ModelPolicy",
    "WriteBehind",
    "aget_or_compute",
    "aincrement",
    "ainvalidate",
    "announces",
    "arecord_event",
    "cached",
    "cached_view",
    "get_or_compute",
    "increment",
    "invalidate",
    "invalidate_on_commit",
    "invalidated",
    "no_invalidation",
    "pending",
    "record_event",
    "refresh_entry",
    "register",
    "stale_hit",
    "tag",
    "uncached",
    "with_pending",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cachepatterns' has no attribute {name!r}")
    return getattr(import_module(f"cachepatterns.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
