"""Single flight: many callers in one process that miss the same entry load it once.

Knows nothing of caches. A flight is named by everything its callers must agree on; for
an entry that is its key *and* the stamps they hold, so nobody is handed a load that began
before something the caller already had to see. Waiting is bounded, and a load that raises
releases its waiters at once, who then load for themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("done", "pilot", "value")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.pilot = threading.get_ident()
        self.value: T | None = None


class Flights(Generic[T]):
    """The loads under way in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._waiting: dict[int, _Flight[T]] = {}
        """Which flight each thread waits for."""

    def __len__(self) -> int:
        return len(self._flights)

    def lead(self, name: Hashable) -> Callable[[T | None], None] | None:
        """Become the loader of `name`: returns the function that lands the flight.

        `None` if another caller is loading it already. The landing function must be
        called, with the value or with `None` for 'nothing to share'.
        """
        with self._lock:
            if name in self._flights:
                return None
            flight = self._flights[name] = _Flight()

        def land(value: T | None) -> None:
            with self._lock:
                if self._flights.get(name) is flight:
                    del self._flights[name]
            flight.value = value
            flight.done.set()

        return land

    def wait(self, name: Hashable, timeout: float) -> T | None:
        """What the loader of `name` found; `None` after `timeout` seconds or without one.

        Never waits for a load of the same thread, nor for one that waits, within its own, for
        this thread's: that would be for ever.
        """
        me = threading.get_ident()
        with self._lock:
            flight = self._flights.get(name)
            if flight is None or self._comes_back(flight, me):
                return None
            self._waiting[me] = flight
        try:
            flight.done.wait(timeout)
            return flight.value
        finally:
            with self._lock:
                self._waiting.pop(me, None)

    def _comes_back(self, flight: _Flight[T], me: int) -> bool:
        """Whether who is to be waited for waits for `me`, himself or through others."""
        following: _Flight[T] | None = flight
        while following is not None:
            if following.pilot == me:
                return True
            following = self._waiting.get(following.pilot)
        return False

    def forget(self) -> None:
        """Drop all flights: their pilots are threads that a fork did not bring along."""
        self._lock = threading.Lock()
        self._flights, self._waiting = {}, {}
