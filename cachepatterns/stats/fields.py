"""The fields of a bucket: how a tally is written into a counter hash and read back.

``kind|label|pattern|last``. Only the last part may hold anything (a reason, a source);
the bar is replaced in the others. Short, because a bucket holds hundreds of them.
"""

from __future__ import annotations

from typing import Final

READS: Final = "n"
"""Reads by outcome."""
SURPLUS: Final = "x"
"""Reads by outcome that were part of a larger one: ``in_bulk`` reads many rows in one call."""
MICROSECONDS: Final = "t"
"""Whole time by outcome."""
LOAD_MICROSECONDS: Final = "d"
"""Time spent in the database, by outcome."""
BYPASSED: Final = "b"
"""Bypasses by reason."""
UNSTORED: Final = "u"
"""Loads that were not stored, by reason."""
OUTDATED: Final = "o"
"""Misses that found an entry which a write had made worthless."""
HIT_LATENCY: Final = "h"
"""Hits by latency bucket."""
LOAD_LATENCY: Final = "l"
"""Loads by latency bucket."""
STORED_BYTES: Final = "s"
STORED_ENTRIES: Final = "w"
INVALIDATIONS: Final = "i"
"""Invalidations of a label by source."""
TAGS: Final = "g"
"""Tags bumped, by label."""
COARSE: Final = "c"
"""Coarse writes, by label."""
CALL_SITES: Final = "k"
"""Coarse writes of a label by source and call site: ``source|site``."""
FAILED: Final = "f"
"""Invalidations that could not be delivered at once, by label."""
DONE: Final = "p"
"""What patterns did to a model: ``what``, or ``what: reason``."""
ERRORS: Final = "e"
"""Errors by operation and kind."""
EVENTS: Final = "v"
"""Invalidation events, whatever number of labels each had."""
DROPPED: Final = "z"
"""Flushes whose counters are lost."""


def field(kind: str, label: str = "", pattern: str = "", last: str = "") -> str:
    return f"{kind}|{_clean(label)}|{_clean(pattern)}|{last}"


def call_site(source: str, site: str) -> str:
    return f"{_clean(source)}|{site}"


def parts(name: str) -> tuple[str, str, str, str]:
    """The parts of a field; raises `ValueError` for what `field` did not make."""
    kind, label, pattern, last = name.split("|", 3)
    return kind, label, pattern, last


def _clean(text: str) -> str:
    return text.replace("|", "/") if "|" in text else text
