"""How a read can end, and a refresh."""

from __future__ import annotations

HIT = "hit"
"""Answered from the cache; the database was not asked."""
NEAR = "near"
"""A hit in the process's own memory; Redis was not asked either."""
NEGATIVE = "negative"
"""A hit whose answer is that there is nothing: no such row, an empty list."""
STALE = "stale"
"""Answered by an entry that is past its time, as the policy allows (the reason is counted)."""
MISS = "miss"
"""Nothing valid was cached; loaded and, unless a reason says otherwise, stored."""
SHARED = "shared"
"""A miss that waited for another caller's load of the very same entry."""
BYPASS = "bypass"
"""Not a question for the cache; the database answered (the reason is counted)."""
ERROR = "error"
"""The cache failed; the database answered."""

ANSWERED = (HIT, NEAR, NEGATIVE, STALE)
"""Those in which the cache had the answer."""

OUTCOMES = (HIT, NEAR, NEGATIVE, STALE, MISS, SHARED, BYPASS, ERROR)

REFRESHED = "refreshed"
"""An entry was loaded anew in the background."""
EXTENDED = "extended"
"""An entry that is still asked for was given a longer life."""
FAILED = "failed"
"""A refresh raised; what stands is served until its end."""
SKIPPED = "skipped"
"""A refresh was not begun, or came to nothing (the reason is counted); the next reader tries."""

REFRESHES = (REFRESHED, EXTENDED, FAILED, SKIPPED)
"""How a refresh can end."""
