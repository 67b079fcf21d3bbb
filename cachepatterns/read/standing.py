"""What stands under an answer's tags: whether it vouches for an entry, and what to load under."""

from __future__ import annotations

from collections.abc import Sequence

from cachepatterns.backends.store import Store
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import Entry, is_valid, unpack
from cachepatterns.core.stamp import new_stamp
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.observe import ErrorEvent, emit

WRITER = "writer registered"
STAMP_MARGIN = 3600.0
"""Seconds by which a stamp outlives the entries that rest on it."""


def served(payload: bytes | None, standing: list[bytes | None]) -> list[Row] | None:
    """The rows of a valid entry; `None` if there is none, or it is outdated or corrupt."""
    if payload is None or None in standing:
        return None
    try:
        entry: Entry = unpack(payload)
        return entry.decode() if is_valid(entry, standing) else None
    except CorruptEntry as error:
        emit(ErrorEvent("decode", "corrupt", str(error)))
        return None


def is_outdated(payload: bytes | None, standing: list[bytes | None]) -> bool:
    """Whether an entry is there that a write has made worthless.

    Asked of misses only: it tells those after an invalidation from those after an expiry.
    """
    try:
        return payload is not None and not is_valid(unpack(payload), standing)
    except CorruptEntry:
        return False


def mint_missing(
    store: Store,
    guards: Sequence[str],
    keys: Sequence[str],
    standing: Sequence[bytes | None],
    ttl: float,
) -> list[bytes] | None:
    """Real stamps for all tags, or `None` where a writer is registered for one of them.

    What is there already needs no minting: a writer that registers deletes the stamps of its
    tags, so where all of them stood at one instant, none was registered.
    """
    held = [stamp for stamp in standing if stamp is not None]
    if len(held) == len(keys):
        return held
    return store.mint(guards, keys, [new_stamp() for _ in keys], ttl + STAMP_MARGIN)
