"""Verifying: live entries, taken at random, against what the database says now.

An entry counts as stale only if it was valid (its guards open, all of its stamps standing) both
before and after the database was asked, unchanged, and differs from the answer. A stamp that was
bumped never stands again, so such an entry was served all the while: there are no false alarms
from writers at work. Entries that move meanwhile are left alone.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import Error, connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.core.asked import FRESH, STALE, UNKNOWN, Asked
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import Entry, is_valid, unpack
from cachepatterns.core.key import ASKED, ROW, answer_key
from cachepatterns.core.sqlcolumns import shown_columns, used_names
from cachepatterns.exceptions import CachePatternsError, CorruptEntry
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.again import alias_of, parts, row_of
from cachepatterns.read.answering import answer, comparable
from cachepatterns.read.asking import signed_question
from cachepatterns.registry import site

LOOKS_AT = 200_000
"""Keys that are looked at to take a sample of."""
PATIENCE = 1.0
"""Seconds after which an entry of an eventual policy is looked at again: until its writer has
returned it may be served."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """An entry that is served and wrong. ``age`` is in seconds."""

    key: str
    label: str
    sql: str
    age: float
    cached_rows: int
    database_rows: int
    difference: str

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(kw_only=True, slots=True)
class Verified:
    """What a verification found; several of them can be added up."""

    checked: int = 0
    """Entries that were compared."""
    stale: int = 0
    unknown: int = 0
    """Entries of which it can not be said: the database may answer in more than one way."""
    moving: int = 0
    """Entries that were outdated, written or evicted when they were looked at."""
    by_label: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def stale_per_million(self) -> float:
        return 1e6 * self.stale / self.checked if self.checked else 0.0

    def __iadd__(self, other: Verified) -> Verified:
        self.checked += other.checked
        self.stale += other.stale
        self.unknown += other.unknown
        self.moving += other.moving
        self.by_label += other.by_label
        self.findings += other.findings
        return self

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "checked": self.checked,
            "stale": self.stale,
            "unknown": self.unknown,
            "moving": self.moving,
            "stale_per_million": self.stale_per_million,
            "models": dict(self.by_label),
            "findings": [finding.as_data() for finding in self.findings],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """An entry, what it rests on, and how to ask for it again."""

    key: str
    policy: ResolvedPolicy
    stamps: Sequence[str]
    guards: Sequence[str]
    sql: str
    ordered: bool
    ask: Callable[[], list[Row]]
    """What the database says now."""
    show: Callable[[list[Row]], list[Row]] = list
    """What the entry's rows say, to be compared with it."""
    hidden: frozenset[int] = frozenset()
    """The places of columns that may be older than the rest: the policies ignore them."""

    def compared(self, rows: list[Row]) -> list[Row]:
        """The rows without what is hidden."""
        if not self.hidden:
            return rows
        return [
            tuple(None if place in self.hidden else value for place, value in enumerate(row))
            for row in rows
        ]


def verify(
    policies: Sequence[ResolvedPolicy] | None = None,
    *,
    sample: int = 1000,
    dice: random.Random | None = None,
) -> Verified:
    """Compare up to `sample` live entries, of these policies or of all, with the database.

    One round trip and one query an entry, and one more where they differ. Raises
    `BackendError`, and `CachePatternsError` within a transaction, which may see what nobody
    else does.
    """
    known = {
        policy.label: policy for policy in (site.policies() if policies is None else policies)
    }
    for alias in {alias for policy in known.values() for alias in policy.databases}:
        if connections[alias].in_atomic_block:
            raise CachePatternsError("verify() does not run within a transaction.")
    done = Verified()
    for key in _sample(sample, known, dice or random.Random()):
        case = _case(key, known)
        if case is None:
            done.unknown += 1
        else:
            _judge(case, done)
    return done


def _sample(count: int, known: dict[str, ResolvedPolicy], dice: random.Random) -> list[str]:
    """Keys of rows and of recorded questions, at random (reservoir sampling)."""
    prefix, chosen, seen = config().PREFIX, list[str](), 0
    for kind in (ROW, ASKED):
        for key in _keys(f"{prefix}:{kind}:", known):
            seen += 1
            if len(chosen) < count:
                chosen.append(key)
            elif (place := dice.randrange(seen)) < count:
                chosen[place] = key
    return chosen


def _keys(head: str, known: dict[str, ResolvedPolicy]) -> Iterator[str]:
    for page in current_store().backend.scan(f"{head}*", limit=LOOKS_AT):
        for key in page:
            if key.removeprefix(head).partition(":")[0].rpartition(".")[0] in known:
                yield key


def _case(key: str, known: dict[str, ResolvedPolicy]) -> _Case | None:
    """What to do with a key; `None` where nobody can tell any more what it answers."""
    kind, label, schema, source, last = parts(key, config().PREFIX)
    policy = known[label]
    alias = alias_of(source, policy)
    if policy.fingerprint != schema or not alias:
        return None
    try:
        if kind == ROW:
            return _row_case(key, policy, alias, last)
        payload = current_store().backend.get_many([key])[0]
        if payload is None:
            return None
        return _query_case(answer_key(key), policy, alias, signed_question(key, payload))
    except (CorruptEntry, ValueError, TypeError):
        return None


def _row_case(key: str, policy: ResolvedPolicy, alias: str, told: str) -> _Case | None:
    found = row_of(told, policy, alias)
    if found is None:
        return None  # a long text stands there as its digest
    plan, value, spelled = found
    return _Case(
        key=key,
        policy=policy,
        stamps=plan.question(spelled).stamps,
        guards=plan.guards,
        sql="",
        ordered=True,
        ask=lambda: plan.load([value]),
        hidden=frozenset(plan.places(policy.ignored)),
    )


def _query_case(key: str, policy: ResolvedPolicy, alias: str, question: Asked) -> _Case:
    return _Case(
        key=key,
        policy=policy,
        stamps=question.stamps,
        guards=question.guards,
        sql=question.sql,
        ordered=question.ordered,
        ask=lambda: answer(question, policy.model, alias),
        show=lambda rows: comparable(rows, question),
        hidden=_shown_only(question.sql),
    )


def _shown_only(sql: str) -> frozenset[int]:
    """The places of ignored columns of which nothing but the value is in the answer."""
    ignored = frozenset[str]().union(*(policy.ignored for policy in site.policies()))
    if not ignored:
        return frozenset()
    used = used_names(sql)
    return frozenset(
        place
        for place, name in enumerate(shown_columns(sql))
        if name in ignored and name not in used
    )


def _judge(case: _Case, done: Verified) -> None:
    before = _live(case)
    if before is None:
        done.moving += 1
        return
    try:
        cached, found = case.compared(case.show(before.decode())), case.compared(case.ask())
    except (CorruptEntry, Error):  # such an entry is never served; such a table is no more
        done.unknown += 1
        return
    how = asked.verdict(cached, found, case.sql, ordered=case.ordered)
    if how == UNKNOWN:
        done.unknown += 1
        return
    if how == STALE:
        if not case.policy.is_strict:
            time.sleep(PATIENCE)
            found = case.compared(case.ask())
            how = asked.verdict(cached, found, case.sql, ordered=case.ordered)
        if _live(case) != before:
            done.moving += 1
            return
    done.checked += 1
    done.by_label[case.policy.label] += 1
    if how != FRESH:
        done.stale += 1
        done.findings.append(_finding(case, before, cached, found))


def _live(case: _Case) -> Entry | None:
    """The entry, if it would be served at this moment."""
    reading = current_store().read(case.guards, [case.key, *case.stamps])
    payload, *standing = reading.values
    if payload is None or not all(reading.is_open):
        return None
    try:
        entry = unpack(payload)
    except CorruptEntry:
        return None
    return entry if is_valid(entry, standing) else None


def _finding(case: _Case, entry: Entry, cached: list[Row], found: list[Row]) -> Finding:
    return Finding(
        key=case.key,
        label=case.policy.label,
        sql=case.sql,
        age=time.time() - entry.stored_at,
        cached_rows=len(cached),
        database_rows=len(found),
        difference=asked.difference(cached, found),
    )
