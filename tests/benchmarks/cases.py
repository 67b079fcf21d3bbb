"""The cases: what is asked, how often the database may be reached, and the goal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    HIT = "hit"
    """Asked before: a contender that caches reaches the database in none of the calls."""
    NEAR = "near"
    """Asked before, and accepted from the process's own memory: ours reaches Redis in none."""
    MISS = "miss"
    """Never asked before: every call reaches the database once, and stores."""
    WRITE = "write"
    """What is written; a cache must not make it much dearer."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`goal` is a share of the floor's time for hits, µs for hits in memory, µs over uncached for
    the others."""

    name: str
    """The method of `Questions` that asks."""
    title: str
    kind: Kind
    goal: float


CASES = {
    case.title: case
    for case in (
        Case(name="get_pk", title="get(pk=)", kind=Kind.HIT, goal=1.15),
        Case(name="get_slug", title="get(slug=)", kind=Kind.HIT, goal=1.2),
        Case(name="page", title="filter(category).order_by()[:20]", kind=Kind.HIT, goal=1.0),
        Case(name="joined", title="100 rows, select_related", kind=Kind.HIT, goal=0.7),
        Case(name="count", title="count()", kind=Kind.HIT, goal=1.8),
        Case(name="aggregate", title="aggregate(Min, Max, Avg)", kind=Kind.HIT, goal=2.0),
        Case(name="exists", title="exists()", kind=Kind.HIT, goal=1.8),
        Case(name="values", title="values_list()[:100]", kind=Kind.HIT, goal=1.5),
        Case(name="bulk", title="in_bulk(50)", kind=Kind.HIT, goal=0.7),
        Case(name="get_brand", title="get(pk=), from memory", kind=Kind.NEAR, goal=15.0),
        Case(name="get_pk", title="get(pk=), miss and fill", kind=Kind.MISS, goal=190.0),
        Case(name="save_in_atomic", title="save() in atomic", kind=Kind.WRITE, goal=150.0),
        Case(name="save", title="save() in autocommit", kind=Kind.WRITE, goal=200.0),
        Case(name="update", title="update() of one row", kind=Kind.WRITE, goal=200.0),
    )
}
