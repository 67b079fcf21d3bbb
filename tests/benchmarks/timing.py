"""Blocks of calls: short enough that some of them are disturbed by nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

BLOCK_SECONDS = 0.002


@dataclass
class Blocks:
    """The seconds per call of each block, how many calls were made in all, and what is kept of
    their answers, each with the number of its argument: all of the first block, and the last of
    each later one."""

    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    kept: list[tuple[int, Any]] = field(default_factory=list)


def time_blocks(
    ask: Callable[[int], Any], numbers: Iterator[int], seconds: float, most: int
) -> Blocks:
    """Call `ask` in blocks for `seconds`, at most `most` times."""
    clock = time.perf_counter
    started = clock()
    first = next(numbers)
    found = Blocks(calls=1, kept=[(first, ask(first))])
    # Odd, so that the last of a block is another argument each time: there are 32 of them.
    size = max(1, int(BLOCK_SECONDS / max(clock() - started, 1e-6))) | 1
    while clock() - started < seconds and found.calls + size <= most:
        arguments = [next(numbers) for _ in range(size)]
        if not found.seconds:
            before = clock()
            answers = [ask(n) for n in arguments]
            found.seconds.append((clock() - before) / size)
            found.kept += zip(arguments, answers, strict=True)
            del answers
        else:
            # Only a name is bound to the answer: what it takes to be freed is timed, as ever.
            before = clock()
            for n in arguments:
                answer = ask(n)
            found.seconds.append((clock() - before) / size)
            found.kept.append((arguments[-1], answer))
        found.calls += size
    return found
