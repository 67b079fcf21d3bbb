"""What happens within the computation of a value, and what that says of keeping the value.

A computed value may be kept only if all that it was made from was new enough when it was made.
What its function reads through the cache is judged there; what it reads past it is seen by the
execute wrapper, as is what it writes. Each reports here; the value is then given to who asked for
it, and kept for nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core.key import TAG
from cachepatterns.core.sqlcolumns import used_names
from cachepatterns.core.sqltext import names_in
from cachepatterns.core.tag import is_ignored_tag
from cachepatterns.read.dependencies import tables_read
from cachepatterns.read.origin import why_not_keep
from cachepatterns.registry import site
from cachepatterns.transactions import database_id

R = TypeVar("R")
WRITES = "it writes"


class Computation:
    """A value that is being computed."""

    __slots__ = ("_asked", "_known", "_outer", "learns", "rests", "stamps", "unfit", "who")

    def __init__(
        self, outer: Computation | None, learns: bool = False, known: Container[str] = ()
    ) -> None:
        self._outer = outer
        self._known = known
        """The tags that it rests on, as far as that was known before."""
        self.learns = learns
        """Whether nobody has said what it rests on: then it rests on any row of all that it
        reads."""
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

    def asks(self, stamps: Iterable[str]) -> None:
        """The cache is asked for what rests on these stamps."""
        if self.learns:
            for key in stamps:
                name = key.partition(f":{TAG}:")[2]
                model = name.partition(":")[0]
                if name in self._known:
                    continue  # the row that it was given, say
                is_own = name.startswith("#") or is_ignored_tag(name)
                self.rest_on((name,) if is_own else (model, f"{model}:*"))

    def reads(self, connection: BaseDatabaseWrapper, sql: str = "") -> None:
        """A statement is about to be sent. Whether its database shows all that was committed
        before is asked once, since it shows only ever more."""
        if self.learns and sql and not _is_told.get():
            self._learn(connection, sql)
        if connection.alias in self._asked:
            return
        self._asked.add(connection.alias)
        if self._outer is not None:
            self._outer.reads(connection)
        reason = why_not_keep(connection)
        if reason:
            self.spoil(reason)

    def _learn(self, connection: BaseDatabaseWrapper, sql: str) -> None:
        tables, tracked = site.tables(), site.tracked()
        names = names_in(sql)
        for name in sorted(names & (tables.keys() - tracked.keys())):
            self._unsaid(f"{tables[name]._meta.label_lower} not registered")
        found = tables_read(names, (), site, database_id(connection))
        used = used_names(sql)
        goes_by = any(not policy.ignored.isdisjoint(used) for policy in found.policies)
        self.rest_on(tag for tag in found.tags if goes_by or not is_ignored_tag(tag))
        if found.reason:
            self._unsaid(found.reason)

    def _unsaid(self, reason: str) -> None:
        """What it reads can not be rested on. That is not the affair of an outer one of which
        somebody has said what it rests on."""
        self.unfit = self.unfit or reason
        if self._outer is not None and self._outer.learns:
            self._outer._unsaid(reason)


_is_told: ContextVar[bool] = ContextVar("cachepatterns_is_told", default=False)
_under_way: ContextVar[Computation | None] = ContextVar("cachepatterns_computing", default=None)


def computation() -> Computation | None:
    """The innermost that is under way in this thread or task."""
    return _under_way.get()


def who() -> int:
    """Who is at work here: a thread, or for whom it computes."""
    found = _under_way.get()
    return threading.get_ident() if found is None else found.who


@contextmanager
def computing(*, learns: bool = False, known: Container[str] = ()) -> Iterator[Computation]:
    """Around the function that computes a value."""
    found = Computation(_under_way.get(), learns, known)
    token = _under_way.set(found)
    try:
        yield found
    finally:
        _under_way.reset(token)


def told(load: Callable[[], R]) -> R:
    """`load()`, of which `Computation.asks` has told more exactly what it reads than its SQL."""
    token = _is_told.set(True)
    try:
        return load()
    finally:
        _is_told.reset(token)


def spoil(reason: str) -> None:
    """What is being computed here, if anything, must not be kept."""
    found = _under_way.get()
    if found is not None:
        found.spoil(reason)
