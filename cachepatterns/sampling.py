"""Which reads are told with their keys: a bounded sample of them.

Counters know patterns only; what is read *most* takes a look at keys, and a look at every one
would cost more than a hit does. So each process tells the first reads of every minute, and of the
rest a share (``HOT_SHARE``). Each stands for as many reads as were passed over, so that sums are
right on average.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

from cachepatterns.conf import config

EAGER = 500
"""Reads of a minute that are told one by one."""

Remember = Callable[[], bytes | None]
"""What has to be kept so that the question can be asked again; `None` where that is nothing."""
Taker = Callable[[Any, int, Remember | None], None]
"""Called with a question, for how many reads it stands, and what remembers it."""

share = 0.0
"""The share of the reads that are to be told now; a reader throws the dice himself."""

_taker: Taker | None = None
_told = itertools.count()


def begin(taker: Taker | None) -> None:
    """Have `taker` told of reads from now on; of none any more, if it is `None`."""
    global _taker
    _taker = taker
    renew()


def renew() -> None:
    """Begin another minute."""
    global share, _told
    _told = itertools.count()
    share = 1.0 if _taker is not None and config().STATS and config().HOT_SHARE > 0 else 0.0


def tell(question: Any, remember: Remember | None = None) -> None:
    """A read that was chosen."""
    taker, stands_for = _taker, _counted()
    if taker is not None and stands_for:
        taker(question, stands_for, remember)


def tell_some(questions: Sequence[str], made: Callable[[str], Any]) -> None:
    """Some of several reads made at once: each has been as likely to be chosen as a single one."""
    expected = len(questions) * share
    count = int(expected) + (random.random() < expected % 1)
    if count == 1:  # `sample` takes longer than a row does, and `choice` longer than this
        tell(made(questions[int(random.random() * len(questions))]))
    elif count:
        for name in random.sample(questions, min(count, len(questions))):
            tell(made(name))


def _counted() -> int:
    """For how many reads one stands that was chosen now."""
    global share
    chosen_by = share
    if chosen_by >= 1.0 and next(_told) >= EAGER:
        share = config().HOT_SHARE
    return round(1 / chosen_by) if chosen_by else 0
