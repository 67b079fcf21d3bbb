"""The advice on each model that needs some: what was seen, and what to change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachepatterns.advising.changes import Change, proposed
from cachepatterns.advising.filters import filtered_fields
from cachepatterns.registry import tiers
from cachepatterns.stats.export import verdict_data
from cachepatterns.stats.report import ModelReport, PatternReport


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One model, those of its query patterns that need attention, and the change proposed;
    `None` where no policy but the queries or the writes have to change."""

    model: ModelReport
    patterns: tuple[PatternReport, ...]
    change: Change | None

    @property
    def label(self) -> str:
        return self.model.label

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        earned = self.model.benefit
        return {
            "label": self.label,
            "hit_rate": self.model.numbers.hit_rate,
            "reads": self.model.numbers.reads,
            "verdict": verdict_data(self.model.verdict),
            "patterns": [
                {"pattern": found.pattern, "verdict": verdict_data(found.verdict)}
                for found in self.patterns
            ],
            "seconds_per_hour": None
            if earned is None
            else {"spared": earned.spared, "paid": earned.paid, "net": earned.net},
            "memory_bytes": None if earned is None else earned.memory,
            "change": None
            if self.change is None
            else {"set": dict(self.change.set), "drop": list(self.change.drop)},
        }


def advise(models: Iterable[ModelReport]) -> list[Advice]:
    """What the advisor says of those of `models` that need attention, the most read first."""
    found, known = [], tiers()
    for model in sorted(models, key=lambda each: -each.numbers.reads):
        patterns = tuple(p for p in model.patterns if p.verdict.needs_attention)
        if not patterns and not model.verdict.needs_attention:
            continue
        verdicts = [model.verdict, *(pattern.verdict for pattern in patterns)]
        codes = {reason.code for verdict in verdicts for reason in verdict.reasons}
        fields = (
            filtered_fields(model.policy)
            if model.policy is not None and "invalidated" in codes
            else []
        )
        found.append(Advice(model=model, patterns=patterns, change=proposed(model, known, fields)))
    return found
