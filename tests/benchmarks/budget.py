"""Where the time of a hit goes: to building the queryset, the key, the round trip, decoding, the
instances, or the rest (counting, handing on)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

from tests.benchmarks.cases import CASES, Kind

PARTS = ("queryset", "key", "round trip", "decode", "instances", "rest")
CALLS = 3000
UNDISTURBED = 0.1
"""The share of the calls, the fastest, of which the averages are taken."""


class Meter:
    """What each part of one call has taken, by the switches from one to the next."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self._part, self._since = PARTS[0], time.perf_counter()

    def switch(self, part: str) -> None:
        now = time.perf_counter()
        self.spent[self._part] += now - self._since
        self._part, self._since = part, now

    def metered(self, function: Callable[..., Any], part: str, after: str) -> Callable[..., Any]:
        """`function`, which is `part`; what follows it is `after`."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.switch(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch(after)

        return call


@contextmanager
def installed(meter: Meter) -> Iterator[None]:
    """The product's seams report to `meter`."""
    from cachepatterns import queryset
    from cachepatterns.backends.store import Store
    from cachepatterns.read import direct, found, lookup, rows
    from cachepatterns.read.instances import Instances

    seams: list[tuple[Any, str, str, str]] = [
        (direct, "why_not_here", "key", "key"),
        (rows, "why_no_rows", "key", "key"),
        (queryset, "why_no_rows", "key", "key"),
        (Store, "read", "round trip", "rest"),
        (lookup, "served", "decode", "rest"),
        (found, "served", "decode", "rest"),
        (found, "plain_rows", "decode", "rest"),
        (Instances, "__call__", "instances", "rest"),
        (Instances, "converted", "instances", "instances"),
    ]
    with ExitStack() as stack:
        for owner, name, part, after in seams:
            function = meter.metered(getattr(owner, name), part, after)
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


def budget(ask: Callable[[int], Any], numbers: Iterator[int]) -> dict[str, float]:
    """The seconds that each part of a call of `ask` takes."""
    meter = Meter()
    calls = []
    with installed(meter):
        for _ in range(CALLS):
            n = next(numbers)
            meter.begin()
            ask(n)
            meter.switch("rest")
            calls.append(meter.spent)
    calls.sort(key=lambda spent: sum(spent.values()))
    best = calls[: int(CALLS * UNDISTURBED)]
    return {part: sum(spent[part] for spent in best) / len(best) for part in PARTS}


def as_markdown(found: dict[str, dict[str, float]]) -> str:
    """The budgets by case, in Markdown; µs."""
    lines = [f"| µs of a hit | {' | '.join(PARTS)} | all |", "|---" * (len(PARTS) + 2) + "|"]
    for title, spent in found.items():
        cells = [f"{spent[part] * 1e6:.0f}" if spent[part] else "–" for part in PARTS]
        total = sum(spent.values()) * 1e6
        lines.append(f"| `{title}` | {' | '.join(cells)} | {total:.0f} |")
    return "\n".join(lines)


HITS = [title for title, case in CASES.items() if case.kind is Kind.HIT]
