"""Where the fleet's counters stand: buckets of time, each a counter hash.

Every flush adds to three of them, a minute, ten minutes and an hour, so that nothing has
to be rolled up later and a page reads about a hundred hashes whatever period it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cachepatterns.conf import config
from cachepatterns.core.key import stats_key

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """Buckets of `seconds` each, kept for `kept` seconds."""

    name: str
    seconds: int
    kept: int

    def number(self, now: float) -> int:
        return int(now // self.seconds)

    def key(self, number: int) -> str:
        return stats_key(config().PREFIX, f"{self.name}:{number}")


MINUTES: Final = Resolution(name="1m", seconds=MINUTE, kept=HOUR + 10 * MINUTE)
TENS: Final = Resolution(name="10m", seconds=10 * MINUTE, kept=DAY + HOUR)
HOURS: Final = Resolution(name="1h", seconds=HOUR, kept=7 * DAY + 2 * HOUR)
RESOLUTIONS: Final = (MINUTES, TENS, HOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A stretch of time that ends now, and the buckets it is read from."""

    name: str
    seconds: int
    resolution: Resolution

    def numbers(self, now: float) -> list[int]:
        """The numbers of its buckets, oldest first; the last one is still being filled."""
        last = self.resolution.number(now)
        return list(range(last - self.seconds // self.resolution.seconds + 1, last + 1))


PERIODS: Final[Mapping[str, Period]] = {
    period.name: period
    for period in (
        Period(name="1h", seconds=HOUR, resolution=MINUTES),
        Period(name="6h", seconds=6 * HOUR, resolution=TENS),
        Period(name="24h", seconds=DAY, resolution=TENS),
        Period(name="7d", seconds=7 * DAY, resolution=HOURS),
    )
}
DEFAULT_PERIOD: Final = PERIODS["1h"]

HEARTBEAT_WINDOW: Final = 10
"""Seconds of a window in which each process reports itself once or more."""


def heartbeat_key(now: float, windows_ago: int = 0) -> str:
    """The hash that names the processes which reported in a window of time."""
    number = int(now // HEARTBEAT_WINDOW) - windows_ago
    return stats_key(config().PREFIX, f"alive:{number}")


def recent_key() -> str:
    """The list of the newest invalidations."""
    return stats_key(config().PREFIX, "invalidations")


def server_key(minute: int) -> str:
    """What the server said of itself in a minute."""
    return stats_key(config().PREFIX, f"server:{minute}")
