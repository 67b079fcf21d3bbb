"""The near-cache: entries that this process has been served lately, kept in its memory.

It never knows more than Redis: an entry is kept only after Redis has served it as valid, and
together with the keys that made it so, its stamps and guards. Redis tells of every change of
them, from when it was asked to for their models (`backends.tracking`): before that nothing of
these is kept. The first change drops the entry, and the next reader asks Redis, by the whole
protocol. So what is served from here is what Redis would have served at some moment since the
last confirmation that all changes were told: *at most as old as the reader accepts*, who names
that age with every question. Without a confirmation nothing is served.

A change that is told while an entry is on its way voids it: the cells of its keys are taken
*before* Redis is asked, and the entry rests on these very cells.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Set
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from cachepatterns.backends.tracking import Tracking
from cachepatterns.core.key import heard_under

if TYPE_CHECKING:
    from cachepatterns.core.entry import Entry

OVERHEAD = 100
"""Bytes that are counted for each entry beside its body and what it rests on."""
EACH = 300
"""Those that are counted for each stamp or guard that it rests on: name, cell, stamp. Many of them
take more than most bodies do."""

Changed = Callable[[Iterable[str] | None], object]
Listen = Callable[[Changed, Callable[[], object]], Tracking | None]


class Cell:
    """Whether a key is unchanged since the cell was taken."""

    __slots__ = ("__weakref__", "holds")

    def __init__(self) -> None:
        self.holds = True


Cells = tuple[Cell, ...]


class _Kept:
    __slots__ = ("cells", "entry", "size", "until", "was_used")

    def __init__(self, entry: Entry, cells: Cells, until: float) -> None:
        self.entry = entry
        self.cells = cells
        self.until = until
        self.size = len(entry.body) + OVERHEAD + EACH * len(cells)
        self.was_used = False


class NearCache:
    """The entries of one process, `most` bytes of them at most. Thread-safe.

    `listen` makes the tracking, or gives `None` where the backend can not tell of changes: then
    nothing is ever kept.
    """

    def __init__(
        self,
        listen: Listen,
        most: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listen = listen
        self._most = most
        self._clock = clock
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._cells: WeakValueDictionary[str, Cell] = WeakValueDictionary()
        self._tracking: Tracking | None = None
        self._is_started = False
        self.size = 0
        """Bytes kept."""

    @property
    def is_used(self) -> bool:
        """Whether anybody has asked for anything yet that may be kept."""
        return self._tracking is not None

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, accepted: float) -> Entry | None:
        """The entry under `key`, if it is certain that it was valid `accepted` seconds ago."""
        kept = self._kept.get(key)
        tracking = self._tracking
        if kept is None or tracking is None:
            return None
        now = self._clock()
        if now - tracking.confirmed_at > accepted:
            return None
        for cell in kept.cells:
            if not cell.holds:
                return None
        if now >= kept.until:
            return None
        kept.was_used = True
        return kept.entry

    def expect(self, keys: Iterable[str], accepted: float) -> Cells | None:
        """Cells to `put` what is about to be read with; `None` if it would be of no use."""
        keys = tuple(keys)
        under = {*map(heard_under, keys)}
        tracking = self._tracking
        if tracking is None:
            tracking = self._start(under)
            if tracking is None:
                return None
        tracking.beat_within(accepted)
        with self._lock:
            if not under <= tracking.heard:
                tracking.hear_of(under)
                return None
            if self._clock() - tracking.confirmed_at > accepted:
                return None
            return tuple([self._cell(key) for key in keys])

    def put(self, key: str, entry: Entry, cells: Cells, ttl: float) -> None:
        """Keep an entry that Redis has served, for `ttl` seconds at most."""
        new = _Kept(entry, cells, self._clock() + ttl)
        most = self._most()
        with self._lock:
            if new.size > most or not all(cell.holds for cell in cells):
                return
            self._drop(key)
            self._kept[key] = new
            self.size += new.size
            while self.size > most:
                self._evict()

    def changed(self, keys: Iterable[str] | None) -> None:
        """Drop what rests on `keys`; everything, if they are `None`."""
        with self._lock:
            if keys is None:
                self._clear()
                return
            for key in keys:
                cell = self._cells.pop(key, None)
                if cell is not None:
                    cell.holds = False

    def clear(self) -> None:
        self.changed(None)

    def close(self) -> None:
        """Drop everything and hear no more, until somebody asks again."""
        with self._lock:
            tracking, self._tracking, self._is_started = self._tracking, None, False
        if tracking is not None:
            tracking.stop()
        self.clear()

    def _start(self, under: Set[str]) -> Tracking | None:
        with self._lock:
            if not self._is_started:
                self._is_started = True
                self._tracking = self._listen(self.changed, self.clear)
                if self._tracking is not None:
                    self._tracking.hear_of(under)
                    try:
                        self._tracking.start()
                    except RuntimeError:  # no more threads to be had: the next one tries again
                        self._tracking, self._is_started = None, False
            return self._tracking

    def _cell(self, key: str) -> Cell:
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell()
        return cell

    def _clear(self) -> None:
        for cell in list(self._cells.values()):
            cell.holds = False
        self._cells.clear()
        self._kept.clear()
        self.size = 0

    def _evict(self) -> None:
        """The oldest that was not used since it was last looked at; what rests on a cell that
        does not hold any more at once."""
        key, kept = self._kept.popitem(last=False)
        if kept.was_used and all(cell.holds for cell in kept.cells):
            kept.was_used = False
            self._kept[key] = kept
        else:
            self.size -= kept.size

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= kept.size


_all: WeakSet[NearCache] = WeakSet()


def _after_fork() -> None:
    """The thread that listens is the parent's, and so is its connection."""
    for near in list(_all):
        near._begin()


os.register_at_fork(after_in_child=_after_fork)
