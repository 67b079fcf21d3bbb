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

    def __init__(self, pilot: Hashable) -> None:
        self.done = threading.Event()
        self.pilot = pilot
        self.value: T | None = None


class Flights(Generic[T]):
    """The loads under way in this process.

    `who` names the caller: his thread, unless loads go on in others.
    """

    def __init__(self, who: Callable[[], Hashable] = threading.get_ident) -> None:
        self._who = who
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._waiting: list[tuple[Hashable, _Flight[T]]] = []
        """Who waits for which flight."""

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
            flight = self._flights[name] = _Flight(self._who())

        def land(value: T | None) -> None:
            with self._lock:
                if self._flights.get(name) is flight:
                    del self._flights[name]
            flight.value = value
            flight.done.set()

        return land

    def wait(self, name: Hashable, timeout: float) -> T | None:
        """What the loader of `name` found; `None` after `timeout` seconds or without one.

        Never waits for a load of the caller's own, nor for one that waits, within itself, for the
        caller's: that would be for ever.
        """
        me = self._who()
        with self._lock:
            flight = self._flights.get(name)
            if flight is None or self._comes_back(flight, me):
                return None
            waits = (me, flight)
            self._waiting.append(waits)
        try:
            flight.done.wait(timeout)
            return flight.value
        finally:
            with self._lock:
                self._waiting.remove(waits)

    def _comes_back(self, flight: _Flight[T], me: Hashable) -> bool:
        """Whether who is to be waited for waits for `me`, himself or through others."""
        following, known = [flight], set[Hashable]()
        while following:
            pilot = following.pop().pilot
            if pilot == me:
                return True
            if pilot not in known:
                known.add(pilot)
                following += [other for waiting, other in self._waiting if waiting == pilot]
        return False

    def forget(self) -> None:
        """Drop all flights: their pilots are threads that a fork did not bring along."""
        self._lock = threading.Lock()
        self._flights, self._waiting = {}, []
