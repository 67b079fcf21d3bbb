"""A steady pace for several workers: so many loads a second, evenly spread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets through `rate` a second, all threads together; `None`: as many as come.

    Who finds that nothing had to be loaded gives the turn back: what is warm already is passed
    over as quickly as it goes.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._clock, self._wait = clock, wait
        self._next = clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Return when it is one's turn."""
        if not self._gap:
            return
        with self._lock:
            mine = max(self._clock(), self._next)
            self._next = mine + self._gap
        left = mine - self._clock()
        if left > 0:
            self._wait(left)

    def give_back(self) -> None:
        """The turn was not needed."""
        with self._lock:
            self._next -= self._gap
