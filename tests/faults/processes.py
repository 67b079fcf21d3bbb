"""The processes of a run, and the hand that starts, stops and kills them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.board import IDLE, Board, Page, trace
from tests.faults.nursery import Nursery
from tests.faults.writing import POINTS, STOP, WRITE

PATIENCE = 20.0


class Processes:
    """All readers, writers and relays, each on a page of the board."""

    def __init__(self, board: Board, nursery: Nursery, dice: random.Random) -> None:
        self.board, self.nursery, self.dice = board, nursery, dice
        self.journal = board.pages[0]
        self._known: dict[int, tuple[str, int]] = {}
        """Page number → role and process id."""

    def start(self, role: str, page: int) -> None:
        seed = f"{role}{page}-{self.dice.random()}"
        self._known[page] = role, self.nursery.spawn(role, page, seed)

    def all(self, role: str) -> list[Page]:
        return [self.board.pages[n] for n, (known, _) in self._known.items() if known == role]

    def some(self, role: str) -> Page:
        found = self.all(role)
        assert found, f"this plan has no {role}"
        return self.dice.choice(found)

    def pid(self, page: Page) -> int:
        return self._known[page.number][1]

    # -- waiting ----------------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.raise_if_failed()
            if time.monotonic() > deadline:
                stacks = self.nursery.where_everybody_is(pid for _, pid in self._known.values())
                raise AssertionError(f"it takes too long\n{trace(self.board.pages)}\n{stacks}")
            time.sleep(0.0005)

    def raise_if_failed(self) -> None:
        """No process may end by itself."""
        for page in self.board.pages:
            if page.count("failures"):
                last = [text for _, text in sorted(page.notes())][-1:]
                raise AssertionError(f"process {page.number} failed: {last}")

    # -- writing ----------------------------------------------------------------------------

    def order(self, page: Page, order: int) -> None:
        """Tell it to do something to itself, and wait until it does."""
        page.order = order
        self.wait(lambda: page.order == 0)

    def be_in_a_write(self, page: Page) -> None:
        """Until it is at a random instant within, or just after, a write."""
        self.order(page, WRITE)
        time.sleep(self.dice.random() * 0.006)

    def everybody_writes(self) -> None:
        """What each writer is at comes to its end, and then another write of each."""
        for page in [*self.all("writer"), *self.all("writer")]:
            self.order(page, WRITE)
        for page in self.all("writer"):
            self.wait(lambda page=page: page.phase == IDLE)

    # -- stopping and killing ---------------------------------------------------------------

    def kill(self, page: Page) -> None:
        os.kill(self.pid(page), signal.SIGKILL)
        self.bury(page)

    def bury(self, page: Page) -> None:
        """Wait for the end of one that is killed, and start another in its place."""
        role, pid = self._known[page.number]
        status = self.nursery.wait(pid)
        assert status == -signal.SIGKILL, f"process {page.number} ended with {status}"
        page.order = page.owed = 0
        self.start(role, page.number)

    def stand_still(self, page: Page, seconds: float, spare: int | None = None) -> None:
        """Stop it now for so long; not where it is in the phase to be spared."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.stop(page)
            if page.phase != spare:
                break
            self.go_on(page)
            assert time.monotonic() < deadline
            time.sleep(0.002)
        self.journal.note(f"process {page.number} stands still for {seconds:.2f} s")
        time.sleep(seconds)
        self.go_on(page)

    def stop_at(self, page: Page, point: str) -> None:
        """Have a writer stop itself, and wait until it stands: a SIGCONT before would be lost."""
        self.order(page, STOP + POINTS.index(point))
        self.wait(lambda: self.is_stopped(page))

    def stop(self, page: Page) -> None:
        os.kill(self.pid(page), signal.SIGSTOP)
        self.wait(lambda: self.is_stopped(page))

    def go_on(self, page: Page) -> None:
        os.kill(self.pid(page), signal.SIGCONT)

    def is_stopped(self, page: Page) -> bool:
        stat = Path(f"/proc/{self.pid(page)}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"
