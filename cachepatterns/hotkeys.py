"""What the fleet reads most, and asking for it again before the next reader does.

::

    for hot in hottest(100):
        print(hot.reads, hot.label, hot.pattern, hot.key, hot.sql)
        hot.warm()   # "warm" (it was), "stored", or why it can not be

Rows are found again by the field and the value in their key, whatever has become of their model's
columns. Of queries the statement is kept; where the schema of their model has changed, the new
release asks another one, and they can not be warmed.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cachepatterns import observe
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.asked import Asked
from cachepatterns.core.key import ROW
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.narrowing import NO_VALUE
from cachepatterns.observe import ReadEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.again import alias_of, ask_again, parts, recorded, row_of, why_not_again
from cachepatterns.read.question import Question
from cachepatterns.read.rowplans import why_no_rows
from cachepatterns.read.rows import get_row
from cachepatterns.registry import site
from cachepatterns.stats import hot

WARM, STORED = "warm", "stored"
"""What `HotKey.warm` says of what was there already, and of what is there now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HotKey:
    """One key. ``reads`` is an estimate over the hours asked for."""

    key: str
    label: str
    pattern: str
    reads: int
    kept: tuple[Question, Asked] | None
    """The question and its statement; `None` for rows, and where nothing could be kept."""

    @property
    def sql(self) -> str:
        """The statement that answers it; empty for rows, and where it is not known."""
        return self.kept[1].sql if self.kept else ""

    @property
    def is_row(self) -> bool:
        return self.key.startswith(f"{config().PREFIX}:{ROW}:")

    @property
    def policy(self) -> ResolvedPolicy | None:
        """The policy that its model has now."""
        return next((policy for policy in site.policies() if policy.label == self.label), None)

    def warm(self) -> str:
        """Read it as its readers do, so that it is there: one round trip, and one query where it
        is not. Returns `WARM`, `STORED`, or why nothing could be done.

        Raises Django's `DatabaseError`.
        """
        policy = self.policy
        if policy is None:
            return "not registered"
        heard: list[ReadEvent] = []
        here = threading.get_ident()

        def hear(event: observe.Event) -> None:
            if isinstance(event, ReadEvent) and threading.get_ident() == here:
                heard.append(event)

        observe.subscribe(hear)
        try:
            reason = self._read_row(policy) if self.is_row else self._ask(policy)
        finally:
            observe.unsubscribe(hear)
        if reason or not heard:
            return reason or "not asked"
        last = heard[-1]
        if last.outcome in (*outcome.ANSWERED, outcome.SHARED):
            return WARM
        return last.reason or (STORED if last.outcome == outcome.MISS else last.outcome)

    def _read_row(self, policy: ResolvedPolicy) -> str:
        told = parts(self.key, config().PREFIX)
        using = alias_of(told.source, policy)
        if not using or not policy.tier.caches:
            return "tier never" if using else "other database"
        try:
            found = row_of(told.last, policy, using)
        except NO_VALUE:
            found = None
        if found is None:
            return "key does not tell"
        plan, value, _spelled = found
        narrowing = plan.narrowing
        name = "pk" if narrowing.field.primary_key else narrowing.attname
        asked, reason = why_no_rows(policy.model, name, using)
        if asked is not None:
            get_row(asked, policy.model, value)
        return reason

    def _ask(self, policy: ResolvedPolicy) -> str:
        if self.kept is None:
            return "statement not kept"
        question, known = self.kept
        reason = why_not_again(question, policy, config().PREFIX)
        if reason:
            return reason
        ask_again(question, known, policy)
        return ""

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "key": self.key,
            "label": self.label,
            "pattern": self.pattern,
            "reads": self.reads,
            "sql": self.sql,
        }


def hottest(
    limit: int = 100, *, labels: Collection[str] | None = None, hours: int = 24
) -> list[HotKey]:
    """What the fleet has read most within the last `hours` (48 at most), the most read first; of
    the models with these labels, or of all.

    Raises `BackendError` or `ConfigurationError`.
    """
    found = hot.hottest(limit, labels=labels, hours=hours)
    kept = hot.remembered([each.key for each in found])
    return [
        HotKey(
            key=each.key,
            label=each.label,
            pattern=each.pattern,
            reads=each.reads,
            kept=_kept(each.key, payload),
        )
        for each, payload in zip(found, kept, strict=True)
    ]


def _kept(key: str, payload: bytes | None) -> tuple[Question, Asked] | None:
    if payload is None:
        return None
    try:
        return recorded(key, payload)
    except CorruptEntry:
        return None  # another release's, or not signed by us
