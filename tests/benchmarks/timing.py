"""Blocks of calls: short enough that some of them are disturbed by nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

BLOCK_SECONDS = 0.002


@dataclass
class Blocks:
    """The seconds per call of each block, and how many calls were made in all."""

    seconds: list[float] = field(default_factory=list)
    calls: int = 0


def time_blocks(
    ask: Callable[[int], Any], numbers: Iterator[int], seconds: float, most: int
) -> Blocks:
    """Call `ask` in blocks for `seconds`, at most `most` times."""
    clock = time.perf_counter
    started = clock()
    ask(next(numbers))
    size = max(1, int(BLOCK_SECONDS / max(clock() - started, 1e-6)))
    found = Blocks(calls=1)
    while clock() - started < seconds and found.calls + size <= most:
        arguments = [next(numbers) for _ in range(size)]
        before = clock()
        for n in arguments:
            ask(n)
        found.seconds.append((clock() - before) / size)
        found.calls += size
    return found
