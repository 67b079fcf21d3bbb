"""A moment's patience with a writer in autocommit, who keeps readers away while a statement runs.

That is a fraction of a millisecond, as a rule, and then most of what was cached is good again: to
look once more costs far less than the database's answer, which could not be stored either. So who
finds the guard closed and an entry behind it looks again, for as long as it once took to load the
entry, and then asks the database: at worst that doubles the wait (it is the ski rental problem),
or lengthens it by 3 ms.
Where it was in vain (the writer waits for a lock; an import; a quarantine) nobody waits for the
guard for a while.

Nothing is believed sooner: each look is the whole lookup.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from cachepatterns.backends.base import Reading
from cachepatterns.backends.store import Store
from cachepatterns.core.entry import unpack
from cachepatterns.exceptions import CorruptEntry

FIRST_PAUSE, GROWTH = 0.0003, 2.0
"""Seconds before the first further look, and how much longer each next one is."""
SHORTEST, LONGEST = 0.003, 0.02
"""Seconds of patience, however quick the load was, or long. A writer who waits for his turn on the
CPU takes a few milliseconds; to load instead would take from him just that."""
WITHOUT = 0.02
"""Seconds without patience for a guard that has stayed closed."""

_until: dict[str, float] = {}
"""Until when nobody waits, by guard: there are as many as models."""


def look_again(
    store: Store, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str], found: Reading
) -> Reading:
    """What `found` becomes within a moment; as it is, where there is nothing to wait for.

    The first of `keys` is the entry's, the others are its stamps'.
    """
    payload = found.values[0]
    if payload is None or None in found.values:
        return found
    now = time.monotonic()
    if any(_until.get(guard, 0.0) > now for guard in guards):
        return found
    try:
        ends = now + min(max(unpack(payload).load_seconds, SHORTEST), LONGEST)
    except CorruptEntry:
        return found
    pause = FIRST_PAUSE
    while True:
        time.sleep(pause)
        found = store.read(guards, keys, leases)
        if all(found.is_open):
            return found
        if None in found.values or time.monotonic() >= ends:
            break
        pause *= GROWTH
    closed = [g for g, is_open in zip(guards, found.is_open, strict=True) if not is_open]
    _until.update(dict.fromkeys(closed, time.monotonic() + WITHOUT))
    return found
