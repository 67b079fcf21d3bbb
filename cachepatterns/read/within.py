"""What happens within the computation of a value, and what that says of keeping the value.

A computed value may be kept only if all that it was made from was new enough when it was made.
What its function reads through the cache is judged there; what it reads past it is seen by the
execute wrapper, as is what it writes. Each reports here; the value is then given to who asked for
it, and kept for nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.read.origin import why_not_keep

WRITES = "it writes"


class Computation:
    """A value that is being computed."""

    __slots__ = ("_asked", "_outer", "rests", "stamps", "unfit", "who")

    def __init__(self, outer: Computation | None) -> None:
        self._outer = outer
        self.who: int = threading.get_ident() if outer is None else outer.who
        """For whom it is computed, whatever threads do that: who began the outermost one."""
        self._asked: set[str] = set()
        self.rests: dict[str, None] = {}
        """The tags of the values that it is made of."""
        self.stamps: Sequence[bytes] = ()
        """Those under which it will be kept; none where it is known that it will not be."""
        self.unfit = ""
        """Why the value must not be kept; empty if it may be."""

    def spoil(self, reason: str) -> None:
        self.unfit = self.unfit or reason
        if self._outer is not None:
            self._outer.spoil(reason)

    def rest_on(self, tags: Iterable[str]) -> None:
        """A value that it is made of rests on these."""
        self.rests |= dict.fromkeys(tags)

    def reads(self, connection: BaseDatabaseWrapper) -> None:
        """A statement is about to be sent. Whether its database shows all that was committed
        before is asked once, since it shows only ever more."""
        if connection.alias in self._asked:
            return
        self._asked.add(connection.alias)
        if self._outer is not None:
            self._outer.reads(connection)
        reason = why_not_keep(connection)
        if reason:
            self.spoil(reason)


_under_way: ContextVar[Computation | None] = ContextVar("cachepatterns_computing", default=None)


def computation() -> Computation | None:
    """The innermost that is under way in this thread or task."""
    return _under_way.get()


def who() -> int:
    """Who is at work here: a thread, or for whom it computes."""
    found = _under_way.get()
    return threading.get_ident() if found is None else found.who


@contextmanager
def computing() -> Iterator[Computation]:
    """Around the function that computes a value."""
    found = Computation(_under_way.get())
    token = _under_way.set(found)
    try:
        yield found
    finally:
        _under_way.reset(token)


def spoil(reason: str) -> None:
    """What is being computed here, if anything, must not be kept."""
    found = _under_way.get()
    if found is not None:
        found.spoil(reason)
