"""What came of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.faults.board import ENDS
from tests.faults.cutting import CUTS, PARTINGS
from tests.faults.killing import KILLS
from tests.faults.losing import STATE_LOSSES

LEAST_HIT_RATE = 0.60
LOSSES = (*STATE_LOSSES, *CUTS, *PARTINGS)


@dataclass
class Cost:
    """What was read at what hit rate, in how much time."""

    seconds: float = 0.0
    reads: int = 0
    hits: int = 0

    def __str__(self) -> str:
        rate = self.hits / max(1, self.reads)
        return f"{self.seconds:.1f} s, {self.reads} reads, {rate:.0%} hits"


@dataclass(kw_only=True)
class Report:
    """What came of a run, as numbers; its text is what is printed."""

    counts: dict[str, int]
    faults: Counter[str]
    seconds: float
    seed: str
    undone: list[str]
    costs: dict[str, Cost]
    """Of each kind of fault, with the time until the cache worked again; of the start; and of
    the recovery that makes up for them."""
    traces: list[str] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        return self.counts["hits"] / max(1, self.counts["reads"])

    def amount(self, kinds: Collection[str]) -> int:
        return sum(self.faults[kind] for kind in kinds)

    def __str__(self) -> str:
        c = self.counts
        faults = sum(self.faults.values())
        return (
            f"{c['reads']} checked reads, {c['hits']} hits ({self.hit_rate:.0%}), "
            f"{c['writes']} writes, {c['refused']} refused, {c['disturbed']} disturbed, "
            f"{c['unjudged']} unjudged, {c['excused']} excused, {faults} faults "
            f"({self.amount(KILLS)} kills, {self.amount(LOSSES)} losses of state or connections), "
            f"{c['violations']} violations; {self.seconds:.0f} s, seed {self.seed}\n"
            f"ends of reads: {self._ends()}\n{self._costs()}"
        )

    def _ends(self) -> str:
        found = sorted(((self.counts[end], end) for end in ENDS), reverse=True)
        return ", ".join(f"{end} {count}" for count, end in found if count)

    def _costs(self) -> str:
        """A line for each kind of fault: where the hits went."""
        return "\n".join(
            f"  {self.faults[name] or '':>4} {name}: {cost}"
            for name, cost in sorted(self.costs.items())
        )
