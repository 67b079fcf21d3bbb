"""Asking for a computed value: from the cache, or by computing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from cachepatterns.computed.dropping import drop
from cachepatterns.computed.keys import digest
from cachepatterns.computed.resting import Resting
from cachepatterns.computed.values import Values
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.key import value_key
from cachepatterns.core.tag import standing_tags, tag
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.observe import ErrorEvent, ReadEvent, emit
from cachepatterns.read.dependencies import Dependencies, tier_for
from cachepatterns.read.eligibility import why_not_here, why_not_in_transaction
from cachepatterns.read.lookup import Question, question_on, read
from cachepatterns.read.options import ReadOptions, why_uncached
from cachepatterns.read.within import Computation, computing
from cachepatterns.transactions import is_customised

LABEL = "computed"
"""What computed values stand under in the statistics; what computes them is the pattern."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One value: what it is called, what it rests on, how it is stored."""

    name: str
    parts: tuple[str, ...]
    """What tells it from all others of the name."""
    own_tag: str
    """Which is its alone."""
    resting: Resting
    options: ReadOptions
    values: Values
    pattern: str
    label: str = LABEL

    @property
    def key(self) -> str:
        """The key under which it stands."""
        more = (*self.resting.sources, self.values.fingerprint)
        schemas = sorted(policy.fingerprint for policy in self.resting.policies.values())
        told = digest((*self.parts, *more, *schemas))
        return value_key(config().PREFIX, self.name, told)

    def question(self) -> Question | str:
        """What to ask the cache, or the reason why it is not asked."""
        resting = self.resting
        reason = why_not(resting)
        if reason:
            return reason
        policies = tuple(resting.policies.values())
        tier = tier_for(Dependencies(policies=policies), self.options)
        if tier.ttl is None:
            return "tier never"
        tags = dict.fromkeys((*resting.tags, *standing_tags(self.own_tag), tag(self.name)))
        return question_on(
            tuple(tags), tier, key=self.key, using="", label=self.label, pattern=self.pattern
        )


def why_not(resting: Resting) -> str:
    """Why no value that rests on this may be asked of the cache now; empty if it may.

    Which connections a function reads from is not known before it runs, so none of this thread
    may be in a transaction that sees what others do not.
    """
    if not config().ENABLED:
        return "disabled"
    reason = why_uncached() or resting.reason
    if reason:
        return reason
    for policy in resting.policies.values():
        for alias in resting.databases:
            if alias in policy.databases:
                reason = why_not_here(connections[alias], alias, policy)
                if reason:
                    return reason
    for connection in connections.all(initialized_only=True):
        if is_customised(connection):
            return "session state"
        reason = why_not_in_transaction(connection)
        if reason:
            return reason
    return ""


class _Load:
    """Computes the value and gives it as a row; `unfit` says then why it must not be kept."""

    __slots__ = ("_computation", "_compute", "_values")

    def __init__(self, compute: Callable[[], Any], values: Values) -> None:
        self._compute, self._values = compute, values
        self._computation: Computation | None = None

    def __call__(self) -> list[Row]:
        with computing() as self._computation:
            value = self._compute()
        return [(self._values.kept(value)[0],)]

    @property
    def unfit(self) -> str:
        return self._computation.unfit if self._computation is not None else ""


def answer(wanted: Wanted, compute: Callable[[], Any]) -> Any:
    """The value, from the cache or by `compute()`; a new one each time.

    Raises what `compute` raises, and `UncacheableResult` for what could not be stored: also where
    the cache is not asked, so that a test without a cache finds it.
    """
    question = wanted.question()
    if isinstance(question, str):
        emit(ReadEvent(wanted.label, wanted.pattern, outcome.BYPASS, reason=question))
        return wanted.values.kept(compute())[1]
    ((body,),) = read(question, _Load(compute, wanted.values))
    try:
        return wanted.values.given(body)
    except CorruptEntry as error:
        emit(ErrorEvent("decode", "corrupt", str(error)))
        drop(wanted.own_tag, source="corrupt")
        return wanted.values.kept(compute())[1]
