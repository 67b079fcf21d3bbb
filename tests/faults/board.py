"""The board: one memory-mapped file in which every process has a page of its own.

What a process notes there (counters, what it is doing, the last events) outlives it, however it
is killed, and costs it no system call.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

COUNTERS = (
    "reads",
    "hits",
    "writes",
    "refused",
    "disturbed",
    "unjudged",
    "excused",
    "violations",
    "failures",
)
ENDS = (
    "hit",
    "negative",
    "miss",
    "miss: writer registered",
    "miss: no lease",
    "miss: load failed",
    "miss: store failed",
    "error: cache failed",
    "none",
    "other",
)
"""How reads end: outcome and reason. "none" is a read of which nobody was told anything."""
COUNTED = (*COUNTERS, *ENDS)
PHASE, ORDER, OWED, HEAD = range(len(COUNTED), len(COUNTED) + 4)

IDLE, WRITING, CLOSING, EXCUSING = range(4)
"""What a writer does. CLOSING: in autocommit, from before its guard is closed until its
statement has been carried out. EXCUSING, on the first page: what is stale now is so by the
documented bound."""

_PLACES = {name: place for place, name in enumerate(COUNTED)}
_HEADER = 256
_NOTES = 1500
_NOTE = 200
_PAGE = _HEADER + _NOTES * _NOTE


class Page:
    """What one process says of itself. Only that process writes it, while it lives,
    but for orders."""

    def __init__(self, memory: memoryview, number: int) -> None:
        self.number = number
        mine = memory[number * _PAGE : (number + 1) * _PAGE]
        self._numbers = mine[:_HEADER].cast("q")
        self._notes = mine[_HEADER:]

    def add(self, counter: str, amount: int = 1) -> None:
        self._numbers[_PLACES[counter]] += amount

    def count(self, counter: str) -> int:
        return self._numbers[_PLACES[counter]]

    @property
    def phase(self) -> int:
        return self._numbers[PHASE]

    @phase.setter
    def phase(self, phase: int) -> None:
        self._numbers[PHASE] = phase

    @property
    def order(self) -> int:
        """What the process was told to do to itself; it sets this to 0 when it does it."""
        return self._numbers[ORDER]

    @order.setter
    def order(self, order: int) -> None:
        self._numbers[ORDER] = order

    @property
    def owed(self) -> int:
        """How many bumps the writer has not been able to deliver."""
        return self._numbers[OWED]

    @owed.setter
    def owed(self, count: int) -> None:
        self._numbers[OWED] = count

    def note(self, text: str) -> None:
        """Remember an event, with its time; the oldest are forgotten."""
        head = self._numbers[HEAD]
        at = (head % _NOTES) * _NOTE
        told = text.encode()[: _NOTE - 8].ljust(_NOTE - 8)
        self._notes[at : at + _NOTE] = struct.pack("q", time.monotonic_ns()) + told
        self._numbers[HEAD] = head + 1

    def notes(self) -> Iterator[tuple[float, str]]:
        """The remembered events, as ``(monotonic seconds, text)``."""
        for place in range(min(self._numbers[HEAD], _NOTES)):
            note = bytes(self._notes[place * _NOTE : (place + 1) * _NOTE])
            yield struct.unpack("q", note[:8])[0] / 1e9, note[8:].decode(errors="replace").rstrip()


class Board:
    """All pages."""

    def __init__(self, path: Path, pages: int) -> None:
        if not path.exists():
            path.write_bytes(b"")
            os.truncate(path, pages * _PAGE)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.pages = [Page(memoryview(self._memory), number) for number in range(pages)]

    def total(self, counter: str) -> int:
        return sum(page.count(counter) for page in self.pages)


def trace(pages: Sequence[Page], *, before: float = 2.5, after: float = 0.3) -> str:
    """What everybody did around the last violation, or at the end, by time."""
    events = sorted((at, page.number, text) for page in pages for at, text in page.notes())
    found = [at for at, _, text in events if text.startswith("VIOLATION")]
    last = max(found or [at for at, _, _ in events], default=0.0)
    lines = [
        f"{(at - last) * 1000:+10.2f} ms  {number or '*'}  {text}"
        for at, number, text in events
        if last - before <= at <= last + after
    ]
    return "\n".join(["process 0 (*) does the faults", *lines])
