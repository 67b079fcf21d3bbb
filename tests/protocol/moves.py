"""What may be done at one instant, by name.

The names are shared by the model, whose steps carry them, and by the replay, which holds the
real code at the point of the same name.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Point(Enum):
    """One step of a reader, a writer, a relay or the world. Ordered as an actor passes them."""

    START = "START"
    # readers
    LOOKUP = "LOOKUP"
    MINT = "MINT"
    TEND = "TEND"
    SHARE = "SHARE"
    QUERY = "QUERY"
    SET = "SET"
    # writers
    UPDATE = "UPDATE"
    FENCE = "FENCE"
    STANDS = "STANDS"
    UNFENCED = "UNFENCED"
    EVENT = "EVENT"
    RENEW = "RENEW"
    STATEMENT = "STATEMENT"
    COMMIT = "COMMIT"
    ROLLBACK = "ROLLBACK"
    RELEASE = "RELEASE"
    # relays
    CLOCK = "CLOCK"
    LOOK = "LOOK"
    TAKE = "TAKE"
    MARKS = "MARKS"
    BUMP = "BUMP"
    DELIVERED = "DELIVERED"
    LEFT = "LEFT"
    REPLAYED = "REPLAYED"
    REPLAY = "REPLAY"
    NOTE = "NOTE"
    LEASE = "LEASE"
    # what befalls writers, and relays
    CRASH = "CRASH"
    AWAY = "AWAY"
    UNKNOWN = "UNKNOWN"
    REACHED = "REACHED"
    NOT_REACHED = "NOT REACHED"
    # what befalls everybody
    TIME = "TIME"
    EVICT_GUARD = "EVICT GUARD"
    EVICT_STAMP = "EVICT STAMP"
    EVICT_ENTRY = "EVICT ENTRY"
    EVICT_LEASE = "EVICT LEASE"
    EVICT_MARK = "EVICT MARK"
    FLUSH = "FLUSH"
    FAILOVER = "FAILOVER"
    # only in mutations
    GUARD = "GUARD"
    RETURN = "RETURN"
    OWN_READ = "OWN READ"
    EARLY_RELEASE = "EARLY RELEASE"
    LATE_RENEWAL = "LATE RENEWAL"
    EARLY_MARK = "EARLY MARK"


class Move(NamedTuple):
    """A step: by whom, which one, on what (a query, a tag, a number of commands), in words."""

    actor: str
    point: Point
    on: int
    text: str

    def __str__(self) -> str:
        return f"{self.actor}: {self.text}" if self.actor else self.text


WRITERS = ("writer 1", "writer 2")
READERS = ("reader 1", "reader 2")
RELAYS = ("relay 1", "relay 2")
