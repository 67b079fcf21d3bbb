"""Which protocol is run, by whom, and what may go wrong.

The defaults of `Protocol` are the protocol. Any other value of a switch is a mutation
(`mutations.py`); a switch is read in one place, beside the line that it breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.protocol.state import EVERY_QUERY, QUERIES

FAULTS = frozenset({"crash", "unknown", "away", "evict", "flush", "failover"})
"""Each may happen at any time and any number of times. A bump that is lost is the same as a
writer that crashed after its COMMIT; `unknown` is a connection lost while committing; `away` is
a Redis that cannot be asked for a fence. Relays crash too.
"""


@dataclass(frozen=True, slots=True)
class Protocol:
    life: int = 1  # of a fence, and of a quarantine, in ticks
    # scripts
    fences: bool = True
    fence_bumps: bool = True
    release_bumps: bool = True
    release_removes: str = "own"  # | "all"
    purge_bumps: bool = True
    purge_takes: str = "expired"  # | "all": one deadline for the whole guard
    quarantine: bool = True
    quarantine_bumps_model: bool = True
    incarnation: str = "replication"  # | "process": comes back at a failback | "unchecked"
    mint: str = "adopt"  # | "overwrite" | "restore": put back what the lookup had seen
    # readers
    stamps_before_query: bool = True
    held_by_lookup: bool = True  # stamps that all stood need no script
    lookup: str = "atomic"  # | "guard last"
    doomed_store: str = "never"  # | "mint anew": before the query | "late": after it
    doomed_share: bool = False
    doomed_tends: bool = True
    # writers
    release_when: str = "after commit"  # | "before commit" | "savepoint"
    unknown_commit: str = "kept"  # | "released"
    old_values: str = "database"  # | "instance"
    foreseen: str = "added to"  # | "taken for all"
    late_foresight: str = "registered again"  # | "kept"
    staying: str = "witnessed"  # | "believed"
    staying_mints: str = "none"  # | "unnamed": for lists that it does not name
    away_at_fence: str = "refuse"  # | "write"
    publishes_own: bool = False  # a transaction stores what it reads after its own write
    renews_after_release: bool = False
    # what the surroundings promise
    transactions_end: bool = True  # before their fence expires
    statements_in_time: bool = True  # autocommit: committed before the fence expires, or never
    guard_ttl: bool = False
    # the outbox
    outbox: bool = False
    lease: int = 1  # in ticks
    lease_checked: bool = True
    lease_from: str = "before the question"  # | "after the question" | "its renewal"
    lease_needs: str = "nothing left"  # | "own batch": what other relays hold is not asked for
    delivery: str = "bump, mark"  # | "mark, bump"
    event_when: str = "in transaction"  # | "after commit"
    mark_when: str = "with the bump"  # | "before commit"
    replays: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    protocol: Protocol = Protocol()
    kinds: tuple[str, ...] = ("transaction", "transaction")
    faults: frozenset[str] = frozenset()
    lost_commands: int = 1  # how many a failover may lose
    lookups: bool = True  # readers look up before they mint
    readers: int = 2
    relays: int = 1  # where there is an outbox
    rows: bool = False  # whether the row has an entry of its own

    @property
    def queries(self) -> tuple[int, ...]:
        return EVERY_QUERY if self.rows else QUERIES
