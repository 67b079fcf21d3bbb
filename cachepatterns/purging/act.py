"""Purging: what people throw out of the cache by hand, in the admin or at a prompt.

Two steps. The tags are bumped first: from then on nothing purged can be served, by any
process. Then the keys under our own prefix are deleted, found by SCAN, to give the memory
back; those that a bounded scan does not reach can't be served either, and expire.

Never ``FLUSHDB`` and never ``KEYS``; the statistics stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cachepatterns.backends.base import KeyInfo
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import ASKED, QUERY, ROW, TAG
from cachepatterns.purging.targets import Target

KINDS = (ROW, QUERY, ASKED, TAG)
PREVIEW_LOOKS_AT = 200_000
"""Keys a preview looks at before it stops counting."""
PURGE_LOOKS_AT = 5_000_000
SAMPLES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a purge would delete: a count, and a few of the keys."""

    count: int
    samples: tuple[KeyInfo, ...]
    looked_at_most: int = PREVIEW_LOOKS_AT


@dataclass(frozen=True, kw_only=True, slots=True)
class Purged:
    """What a purge did. Not ``delivered``: Redis did not answer, and the bumps are owed."""

    tags: int
    keys: int
    delivered: bool


def preview(target: Target) -> Preview:
    """What is in the cache of `target`. Raises `BackendError`."""
    store, count, samples = current_store(), 0, list[str]()
    if target.keys:
        found = store.backend.inspect(target.keys)
        return Preview(count=len(found), samples=tuple(found[:SAMPLES]))
    for page in _pages(target, PREVIEW_LOOKS_AT):
        count += len(page)
        samples += page[: SAMPLES - len(samples)]
    return Preview(count=count, samples=tuple(store.backend.inspect(samples)))


def purge(target: Target, source: str) -> Purged:
    """Bump the tags of `target`, then delete its keys. Raises `BackendError`."""
    bumped = target.bump(source)
    store = current_store()
    delivered, deleted = not store.undelivered, 0
    if target.keys:
        deleted += store.call("purge", store.backend.delete, list(target.keys))
    # Deleting while the cursor runs is fine: SCAN promises every key that stays throughout.
    for page in _pages(target, PURGE_LOOKS_AT):
        deleted += store.call("purge", store.backend.delete, page)
    return Purged(tags=bumped, keys=deleted, delivered=delivered)


def _pages(target: Target, limit: int) -> Iterator[list[str]]:
    if not target.pattern:
        return
    ours = tuple(f"{config().PREFIX}:{kind}:" for kind in KINDS)
    for page in current_store().backend.scan(target.pattern, limit=limit):
        kept = [key for key in page if key.startswith(ours)]
        if kept:
            yield kept
