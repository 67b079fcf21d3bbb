"""How a read can end."""

from __future__ import annotations

HIT = "hit"
"""Answered from the cache; the database was not asked."""
NEAR = "near"
"""A hit in the process's own memory; Redis was not asked either."""
NEGATIVE = "negative"
"""A hit whose answer is that there is nothing: no such row, an empty list."""
MISS = "miss"
"""Nothing valid was cached; loaded and, unless a reason says otherwise, stored."""
SHARED = "shared"
"""A miss that waited for another caller's load of the very same entry."""
BYPASS = "bypass"
"""Not a question for the cache; the database answered (the reason is counted)."""
ERROR = "error"
"""The cache failed; the database answered."""

ANSWERED = (HIT, NEAR, NEGATIVE)
"""Those in which the cache had the answer."""

OUTCOMES = (HIT, NEAR, NEGATIVE, MISS, SHARED, BYPASS, ERROR)
