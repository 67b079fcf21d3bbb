"""What a policy says of fields and models that are written behind."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)\s*\Z")


@dataclass(frozen=True, slots=True)
class WriteBehind:
    """Increments, or with ``events`` whole rows, are gathered in Redis and written every so often.

    ``every`` is a duration (``"500ms"``, ``"10s"``, ``"5m"``, ``"1h"``) or a number of seconds.
    """

    every: str | float = "10s"
    events: bool = False

    @property
    def seconds(self) -> float:
        """`every` in seconds; ten where it can not be understood, which a check reports."""
        return seconds_of(self.every) or 10.0


def seconds_of(duration: object) -> float | None:
    """A duration in seconds; `None` unless it is one, and longer than nothing."""
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        return float(duration) if duration > 0 else None
    found = _DURATION.match(duration) if isinstance(duration, str) else None
    return float(found[1]) * _UNITS[found[2]] or None if found else None
