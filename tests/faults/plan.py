"""What a run is to do: how many faults of each kind, how many reads, in how much time."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what."""

    faults: dict[str, int]
    reads: int
    seconds: float
    """After which the run ends, done or not."""
    naive: bool = False
    outbox: bool = False
    """With a relay."""
    on_redis_error: str = "refuse"
    life: float = 0.7
    """`FENCE_SECONDS`; all other times are shares of it."""
    lease: float = 1.4
    """`LEASE_SECONDS`."""
    readers: int = 3
    writers: int = 3
    hits_between: int = 80


SHORT = Plan(
    faults={
        "kill_at_random": 1,
        "kill_at_a_point": 2,
        "stop_briefly": 1,
        "stop_for_long": 1,
        "end_session": 1,
        "cut": 1,
        "lose_answers": 1,
        "flush_under_a_writer": 1,
        "fail_over": 1,
    },
    reads=2_000,
    seconds=60,
)
LONG = Plan(
    faults={
        "kill_at_random": 34,
        "kill_at_a_point": 34,
        "kill_reader": 6,
        "stop_briefly": 8,
        "stop_for_long": 12,
        "stop_reader": 8,
        "end_session": 12,
        "cut": 6,
        "black_hole": 6,
        "delay": 6,
        "lose_answers": 8,
        "flush": 4,
        "restart_empty": 4,
        "restart_with_data": 6,
        "fail_over": 6,
        "fail_back": 6,
        "fill_memory": 4,
        "evict": 4,
        "flush_under_a_writer": 6,
        "evict_under_a_writer": 6,
        "fail_over_under_a_writer": 6,
    },
    reads=100_000,
    seconds=1500,
)
LONG_OUTBOX = replace(LONG, faults={**LONG.faults, "kill_relay": 8}, outbox=True)
NAIVE = Plan(faults={}, reads=4_000, seconds=60, naive=True)
PARTED = Plan(
    faults={"part_writers": 1, "part_writers_for_good": 1},
    reads=500,
    seconds=60,
    outbox=True,
    on_redis_error="database",
)
LONG_PARTED = Plan(
    faults={
        "part_writers": 8,
        "part_writers_for_good": 12,
        "kill_relay": 8,
        "kill_at_random": 8,
        "end_session": 6,
        "flush": 2,
        "restart_empty": 2,
        "restart_with_data": 3,
        "fail_over": 4,
        "fail_back": 3,
    },
    reads=10_000,
    seconds=400,
    outbox=True,
    on_redis_error="database",
)


def plan_of(wanted: str, short: Plan, long: Plan) -> Plan:
    """The plan that `wanted` names: `nightly`, or some faults only, as ``fail_over:6 cut:3``."""
    if wanted in ("", "nightly"):
        return long if wanted else short
    counts = (word.partition(":") for word in wanted.split())
    faults = {kind: int(count or 1) for kind, _, count in counts}
    return replace(short, faults=faults, reads=1, seconds=120)
