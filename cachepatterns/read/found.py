"""What the cache holds of many rows that are asked for at once, by one round trip.

The first half of the journey of `read/rows.py`. Its steps share what was found so far: fetch,
judge, sift, mint.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from cachepatterns.backends.store import Store
from cachepatterns.core import outcome, tag
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import plain_rows, unpack
from cachepatterns.exceptions import BackendError
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.read import shadowing
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.floods import FLOOD, floods
from cachepatterns.read.lease import NO_LEASE
from cachepatterns.read.outage import is_outage
from cachepatterns.read.rowplans import RowPlan
from cachepatterns.read.softly import Spare, judge
from cachepatterns.read.standing import WRITER, is_outdated, mint_missing, served
from cachepatterns.read.within import told


class Found:
    """What the cache holds of the rows asked for, and what it rests on."""

    def __init__(self, plan: RowPlan, wanted: dict[str, Any]) -> None:
        self._plan = plan
        self.wanted = wanted
        """The values asked for, by their spellings."""
        self.spelled = list(wanted)
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self.gone: list[str] = []
        """Of those that were missing, the ones that the database does not have."""
        self._held: Sequence[tuple[str, bytes | None]] = ()
        """The stamps that stood when they were fetched: of each, and the model's last."""
        self._standing: dict[str, bytes | None] = {}
        self._payloads: list[bytes | None] = []
        self._negatives = 0
        self._stale: dict[str, int] = {}
        """How many of the rows are past their time, by reason."""
        self._spares: list[Spare] = []
        self.outdated = 0
        """How many of the missing a write has made worthless."""
        self.closed = ""
        """Why nothing may be served or stored; empty if something may."""

    def fetch(self, store: Store, began: float) -> None:
        """Ask for all in one round trip, that begins after `began`."""
        plan = self._plan
        keys, stamps = plan.keys(self.spelled)
        answer = store.read(plan.guards, [plan.model_stamp, *keys, *stamps], plan.leases)
        if not all(answer.is_open):
            store.tend(plan.guards)
            self.closed = WRITER
        elif not answer.leased:
            self.closed = NO_LEASE
        if self.closed:
            self.missing = self.spelled
            return
        model_stamp, *values = answer.values
        count, deciding, rows = len(keys), None, self.rows
        own = values[count:]
        self._payloads = values[:count]
        is_soft = plan.asked.soft is not None
        if is_soft:
            judged = self._judged(store, self._payloads, model_stamp, own, began)
        else:
            judged = plain_rows(self._payloads, model_stamp, own)
            if all(judged):  # mostly: each of them is there
                self.rows = list(chain.from_iterable(judged))  # type: ignore[arg-type]
                return
        for number, found in enumerate(judged):
            standing = [model_stamp, own[number]]
            if found is None and not is_soft:
                found = served(values[number], standing)
            if found:
                rows += found
                continue
            if found is not None:
                deciding = decides_a_write() if deciding is None else deciding
            if found is None or deciding:
                self.missing.append(self.spelled[number])
                self.outdated += is_outdated(values[number], standing)
                self._standing[stamps[number]] = own[number]
            else:
                self._negatives += 1
        if self.missing:
            self._standing[plan.model_stamp] = model_stamp
            self._held = [*zip(stamps, own, strict=True), (plan.model_stamp, model_stamp)]

    def still_stands(self, store: Store) -> bool:
        """Whether nobody has written, since they were fetched, what was found: then it is what the
        database had when it was asked for the missing.

        The interleaving that this keeps away: one row is found, a transaction moves something
        from it to another one and commits, and that one is loaded. Who adds up has it twice.
        """
        loaded = {*self.missing, *self.gone}
        # What its policy has served though it is invalidated may rest on nothing that stands: it
        # is of no moment, and whoever refreshes it mints anew.
        names = [*self.spelled, None]
        held = {
            key: stamp
            for name, (key, stamp) in zip(names, self._held, strict=False)
            if name not in loaded and stamp is not None
        }
        if len(held) < 2:  # nothing but the model's: one statement has told all
            return True
        try:
            now = store.read(self._plan.guards, list(held))
        except BackendError:
            return False
        return all(now.is_open) and list(now.values) == list(held.values())

    def shadow(self) -> None:
        """Compare one of the hits with the database (`read.shadowing`)."""
        plan, number = self._plan, random.randrange(len(self._payloads))
        spelled, payload = self.spelled[number], self._payloads[number]
        if payload is not None and spelled not in self.missing:
            load = partial(told, partial(plan.load, [self.wanted[spelled]]))
            rows = unpack(payload).decode()
            shadowing.compare(plan.question(spelled), rows, payload, load, None)

    def _judged(
        self,
        store: Store,
        payloads: Sequence[bytes | None],
        model_stamp: bytes | None,
        own: Sequence[bytes | None],
        began: float,
    ) -> list[list[Row] | None]:
        """The rows of each entry that may be served, by what the tier says of its age."""
        plan, found = self._plan, list[list[Row] | None]()
        for spelled, payload, stamp in zip(self.spelled, payloads, own, strict=True):
            if payload is None:
                found.append(None)
                continue
            question, again = plan.question(spelled), partial(plan.statement, self.wanted[spelled])
            standing = [model_stamp, stamp]
            rows, stale, spare = judge(store, question, payload, standing, began, again)
            if stale and rows:
                self._stale[stale] = self._stale.get(stale, 0) + len(rows)
            if spare is not None:
                self._spares.append(Spare(is_outage, spare))
            found.append(rows)
        return found

    @property
    def served(self) -> int:
        """How many are not missing."""
        return len(self.rows) + self._negatives

    def count(self, seconds: float) -> None:
        """Tell how those that are not missing were found."""
        fresh = len(self.rows) - sum(self._stale.values())
        if fresh:
            count_rows(self._plan, outcome.HIT, seconds, fresh)
        for reason, rows in self._stale.items():
            count_rows(self._plan, outcome.STALE, seconds, rows, reason=reason)
        if self._negatives:
            count_rows(self._plan, outcome.NEGATIVE, seconds, self._negatives)

    def spare_rows(self, error: Exception) -> list[Row] | None:
        """What to serve of the missing although their load has failed; `None` unless there is
        something of each."""
        if len(self._spares) < len(self.missing):
            return None
        found = list[Row]()
        for spare in self._spares:
            rows = spare.rows(self._plan.asked, error)
            if rows is None:
                return None
            found += rows
        self._held = ()  # there is no moment to which all of them could belong
        return found

    def sift(self, started: float) -> None:
        """In a flood, ask the database first which of the missing are there at all."""
        plan = self._plan
        if not self.missing or self.closed or not floods.is_on(plan.policy.label):
            return
        before = time.perf_counter()
        rows = told(partial(plan.load, [self.wanted[spelled] for spelled in self.missing]))
        took = time.perf_counter() - before
        there = {tag.canonical(plan.narrowing.kind, row[plan.index]) for row in rows}
        self.gone = gone = [spelled for spelled in self.missing if spelled not in there]
        if gone:
            self.missing = [spelled for spelled in self.missing if spelled in there]
            for stamp in plan.keys(gone)[1]:
                del self._standing[stamp]
            seconds = time.perf_counter() - started
            count_rows(plan, outcome.MISS, seconds, len(gone), took, reason=FLOOD)

    def minted(self, spelled: str) -> bool:
        """Whether there was no stamp yet for the row."""
        return self._standing[self._plan.keys([spelled])[1][0]] is None

    def mint(self, store: Store) -> dict[str, bytes] | None:
        """The stamps for what is missing; `None` where a writer forbids storing it."""
        if self.closed:
            return None
        if not self.missing:
            return {}
        plan, held = self._plan, self._standing
        reach = plan.asked.reach
        minted = mint_missing(store, plan.guards, list(held), list(held.values()), reach)
        return None if minted is None else dict(zip(held, minted, strict=True))


def count_rows(
    plan: RowPlan,
    how: str,
    seconds: float,
    count: int,
    load_seconds: float = 0.0,
    stored_bytes: int = 0,
    reason: str = "",
    outdated: int = 0,
) -> None:
    """Tell how so many rows were found."""
    emit(
        ReadEvent(
            plan.policy.label,
            plan.asked.pattern,
            how,
            seconds,
            load_seconds,
            stored_bytes,
            reason,
            count,
            outdated,
        )
    )
