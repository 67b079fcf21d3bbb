"""A reader, which has every read of its own judged."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
from django.db import Error, connection

from cachepatterns import observe
from cachepatterns.conf import config
from cachepatterns.observe import ReadEvent
from tests.faults import naive
from tests.faults.board import ENDS, EXCUSING, Board, Page
from tests.faults.oracle import Cached, Finding, Oracle, TooSlow, Truth
from tests.faults.past import Past

ANSWERED = ("hit", "negative")
"""Outcomes of reads that the cache has answered."""

ROUNDING = 0.02
"""Seconds by which clocks of milliseconds, read at different moments, may be apart."""


class Reader:
    """Reads, and has every read judged.

    Strictly, unless writers are cut off and write on: then what a read shows may be one lease
    old, and not older.
    """

    def __init__(self, board: Board, page: Page, dice: random.Random, *, naive: bool) -> None:
        self.journal, self.page, self.dice, self.naive = board.pages[0], page, dice, naive
        self.outcome = ""
        self.past = Past() if config().OUTBOX else None

    def run(self) -> None:
        observe.subscribe(self._hear)
        cached = naive.Cached(self._tell) if self.naive else Cached()
        oracle = self._patiently(lambda: Oracle(self.dice, cached))
        while True:
            self.outcome = "none"
            if self.past is not None and self.past.is_due:
                self._patiently(lambda: self._remember(self.past, oracle.truth))
            excused = self.journal.phase == EXCUSING
            finding = self._patiently(oracle.read)
            self.page.add("reads")
            self.page.add(self.outcome if self.outcome in ENDS else "other")
            if self.outcome in ANSWERED:
                self.page.add("hits")
            if finding is None:
                continue
            if excused or self.journal.phase == EXCUSING:
                self._excuse(finding)
            else:
                self._accuse(finding)

    def _hear(self, event: observe.Event) -> None:
        if isinstance(event, ReadEvent):
            end = f"{event.outcome}: {event.reason}" if event.reason else event.outcome
            self._tell(end)
            if end not in ANSWERED:
                self.page.note(f"read {event.pattern}: {end}")

    def _tell(self, outcome: str) -> None:
        self.outcome = outcome

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What `ask` returns, asked again where the database ended our session."""
        while True:
            try:
                return ask()
            except TooSlow:
                self.page.add("unjudged")
                return None
            except (Error, psycopg.Error) as error:
                self.page.note(f"disturbed: {type(error).__name__}")
                self.page.add("disturbed")
                connection.close()

    def _remember(self, past: Past, truth: Truth) -> None:
        past.remember(truth.rows(), truth.categories())

    def _excuse(self, finding: Finding) -> None:
        """If it is no older than the lease allows."""
        bound = config().LEASE_SECONDS + ROUNDING
        then = self.past.before(finding.began - bound) if self.past is not None else None
        if then is None:  # we have only begun to read
            self.page.add("unjudged")
            return
        wrong = finding.against(then)
        if not wrong:
            self.page.add("excused")
            return
        behind = f"{finding.what}, {finding.began - then.at:.3f} s ago"
        self._accuse(replace(finding, what=behind, wrong=wrong))

    def _accuse(self, finding: Finding) -> None:
        what = f"VIOLATION {finding.what} ({self.outcome}) took "
        self.page.note(f"{what}{(finding.ended - finding.began) * 1000:.1f} ms")
        for wrong in finding.wrong[:5]:
            self.page.note(f"VIOLATION {wrong}")
        self.page.add("violations")
