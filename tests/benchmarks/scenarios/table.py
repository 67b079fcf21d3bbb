"""What a scenario has found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Table:
    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The same unrounded, for `--json` and the plot."""

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def as_markdown(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            f"| {' | '.join(self.columns)} |",
            "|---" * len(self.columns) + "|",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])
