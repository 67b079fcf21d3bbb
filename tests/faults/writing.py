"""A writer, and what it may be told to do to itself in the midst of a write."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from django.conf import settings
from django.db import Error, OperationalError, connection

from cachepatterns.backends.store import current_store
from cachepatterns.core.guard import EVERYTHING, STAYING
from cachepatterns.exceptions import WriteRefused
from tests.faults import naive
from tests.faults.board import CLOSING, IDLE, WRITING, Board, Page
from tests.faults.world import Writer

CLOSES = "between closing the guard and the statement"
AHEAD = "between registering ahead and the answer"
POINTS = (
    "before the fence",
    AHEAD,
    "between fence and COMMIT",
    CLOSES,
    "between COMMIT and release",
    "after the release",
)
"""Instants in a write at which a writer may be told to stop or to end."""

WRITE, KILL, STOP = 1, 100, 200
"""Orders: to write now, and to end or to stop at a point, whose number is added."""


class Writing:
    """Writes now and then: about once in so many reads of all readers together."""

    READS_A_WRITE = 240
    PATIENCE = 3.0
    """Seconds after which it writes even if nobody reads."""

    def __init__(self, board: Board, page: Page, dice: random.Random, *, naive: bool) -> None:
        self.board, self.page, self.dice, self.naive = board, page, dice, naive

    def run(self) -> None:
        self.page.phase = IDLE
        if not self.naive:
            Hooks(self.page, settings.FAULTS["latest"]).install()
        writer: Writer | None = None
        while True:
            try:
                if writer is None:
                    writer = Writer(self.dice)
                self._wait()
                self._write(writer)
            except WriteRefused:
                self.page.note("refused")
                self.page.add("refused")
            except Error as error:
                self.page.note(f"disturbed: {type(error).__name__} {str(error)[:90]!r}")
                self.page.add("disturbed")
                connection.close()
            self.page.owed = current_store().undelivered
            self.page.phase = IDLE

    def _wait(self) -> None:
        enough = self.board.total("reads") + self.dice.randrange(2 * self.READS_A_WRITE)
        patience = time.monotonic() + self.PATIENCE
        while self.board.total("reads") < enough and time.monotonic() < patience:
            if self.page.order:
                break
            time.sleep(0.001)
        self.page.phase = WRITING
        if self.page.order == WRITE:
            self.page.order = 0

    def _write(self, writer: Writer) -> None:
        done = writer.write()
        if self.naive:
            naive.forget(writer.touched, writer.categories)
        self.page.note(f"wrote: {done}")
        self.page.add("writes")


class Hooks:
    """Sees the steps of a write: says what the writer does, and carries orders out there."""

    def __init__(self, page: Page, latest: float) -> None:
        self.page, self.latest = page, latest
        self.closed_at = 0.0

    def install(self) -> None:
        self.pid = os.getpid()
        backend: Any = current_store().backend
        self._fence, self._ahead = backend.fence, backend.fence_ahead
        self._release = backend.release
        backend.fence, backend.fence_ahead = self.fence, self.fence_ahead
        backend.release = self.release
        connection.ensure_connection()
        # Last, and so the innermost: around the statement alone.
        connection.execute_wrappers.append(self.execute)

    def fence(self, token: str, guards: Any, **options: Any) -> bytes:
        if options.get("renew"):  # by the background thread
            return self._fence(token, guards, **options)
        everything = self._begin(token, guards)
        alone = self._fence(token, guards, **options)
        self._stands(token, everything)
        return alone

    def fence_ahead(self, token: str, guards: Any, **options: Any) -> Any:
        everything = self._begin(token, guards)
        answer = self._ahead(token, guards, **options)
        self.at(AHEAD)

        def heard() -> bytes:
            alone = answer()
            self._stands(token, everything)
            return alone

        return heard

    def _begin(self, token: str, guards: Any) -> bool:
        everything = any(named[0] in {EVERYTHING, STAYING} for named in guards.values())
        self.page.note(f"{'closes' if everything else 'fences'} {_names(guards)} as {token[:4]}")
        self.at("before the fence")
        if everything:
            self.page.phase, self.closed_at = CLOSING, time.monotonic()
        return everything

    def _stands(self, token: str, everything: bool) -> None:
        self.page.note(f"fenced {token[:4]}")
        self.at(CLOSES if everything else "between fence and COMMIT")

    def execute(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self.page.phase != CLOSING:
            return execute(sql, params, many, context)
        try:
            # A documented limit: such a statement must not begin so late that it commits
            # after its registration has expired. On a busy machine it might.
            if time.monotonic() - self.closed_at > self.latest:
                raise OperationalError("the statement would begin too late")
            return execute(sql, params, many, context)
        finally:
            self.page.phase = WRITING

    def release(self, token: str, guards: Any, keys: Any, **options: Any) -> None:
        self.page.note(f"releases {token[:4]}, bumps {len(keys)}")
        self.at("between COMMIT and release")
        self._release(token, guards, keys, **options)
        self.page.note(f"released {token[:4]}")
        self.at("after the release")

    def at(self, point: str) -> None:
        """Carry out the order to stop or end here, if there is one."""
        number = POINTS.index(point)
        order = self.page.order
        if order in (KILL + number, STOP + number):
            self.page.note(f"{'killed' if order < STOP else 'stopped'} {point}")
            self.page.order = 0
            os.kill(self.pid, signal.SIGKILL if order < STOP else signal.SIGSTOP)


def _names(guards: Any) -> str:
    tags = [key.partition(":tag:")[2] or key for named in guards.values() for key in named]
    return " ".join(tag.replace("app.", "").partition("@")[0] + _rest(tag) for tag in tags)[:110]


def _rest(tag: str) -> str:
    return ":" + tag.partition(":")[2] if ":" in tag else ""
