"""How often each kind of question was asked, and how it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class Tally:
    """``lasting`` counts the hits on entries that had outlived the writes since they were
    stored, ``hits`` those of the second of two questions in a row, ``failed`` the questions
    that the database refuses."""

    asked: int = 0
    lasting: int = 0
    hits: int = 0
    bypasses: int = 0
    failed: int = 0


def table(tallies: Mapping[str, Tally]) -> str:
    """The tallies by kind, for people."""
    rows = [f"{'kind':32} {'asked':>6} {'lasting':>8} {'hits':>6} {'bypass':>7} {'failed':>7}"]
    for name, t in sorted(tallies.items()):
        rows.append(f"{name:32} {t.asked:6} {t.lasting:8} {t.hits:6} {t.bypasses:7} {t.failed:7}")
    return "\n".join(rows)
