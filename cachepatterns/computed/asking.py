"""Asking for a computed value: from the cache, or by computing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections

from cachepatterns.computed.dropping import drop, is_hand_tag
from cachepatterns.computed.keys import digest
from cachepatterns.computed.learning import learnt
from cachepatterns.computed.resting import Resting
from cachepatterns.computed.values import Values
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.codec import Row
from cachepatterns.core.key import value_key
from cachepatterns.core.tag import is_ignored_tag, standing_tags, tag
from cachepatterns.exceptions import CorruptEntry, NoIdentity, UncacheableResult
from cachepatterns.observe import ErrorEvent, ReadEvent, emit
from cachepatterns.read.dependencies import Dependencies, tier_for
from cachepatterns.read.eligibility import why_not_here, why_not_in_transaction
from cachepatterns.read.lookup import read
from cachepatterns.read.options import ReadOptions, why_uncached
from cachepatterns.read.outage import is_outage
from cachepatterns.read.question import KnowingLoad, Question, question_on
from cachepatterns.read.within import computation, computing
from cachepatterns.registry import site
from cachepatterns.transactions import is_customised, source_id

Compute = Callable[[], Any]
Apart = Callable[[], Compute]

LABEL = "computed"
"""What computed values stand under in the statistics; what computes them is the pattern."""

_MISTAKES = (NoIdentity, UncacheableResult)
RESTS_ON_MORE = "made of values that rest on more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One value: what it is called, what it rests on, how it is stored."""

    name: str
    parts: tuple[str, ...]
    """What tells it from all others of the name."""
    own_tag: str
    """Which is its alone."""
    hand_tag: str = ""
    """Which is bumped with the `own_tag` of any value of the name, if all who drop one see to
    that: what is made of such values rests on this one tag then, instead of each one's own."""
    resting: Resting
    options: ReadOptions
    values: Values
    pattern: str
    label: str = LABEL
    learns: bool = False
    """Whether nobody has said what it rests on: it rests on any row of the models it reads."""
    stale_for: float | None = None
    """As of tiers, to override the tier's."""
    stale_if_error: float | None = None
    """As of tiers, but after whatever error."""

    @property
    def key(self) -> str:
        """The key under which it stands."""
        sources = self.resting.sources or (_all_sources() if self.learns else [])
        more = (*sources, self.values.fingerprint)
        schemas = sorted(policy.fingerprint for policy in self.resting.policies.values())
        told = digest((*self.parts, *more, *schemas))
        return value_key(config().PREFIX, self.name, told)

    @property
    def tags(self) -> dict[str, None]:
        """What it rests on, as far as it is known before it is computed."""
        own = (*standing_tags(self.own_tag), tag(self.name))
        return dict.fromkeys((*self.resting.tags, *own))

    def survives(self, error: BaseException) -> bool:
        """Whether the last good value is given instead of this error of the function's."""
        if self.stale_if_error is None:
            return is_outage(error)
        return isinstance(error, Exception) and not isinstance(error, _MISTAKES)

    def question(self, key: str, tags: Iterable[str], more: Sequence[str]) -> Question | str:
        """What to ask the cache, or the reason why it is not asked."""
        resting = self.resting
        reason = why_not(resting)
        if reason:
            return reason
        policies = tuple(resting.policies.values())
        tier = tier_for(Dependencies(policies=policies), self.options)
        if tier.ttl is None:
            return "tier never"
        if self.stale_for is not None:
            tier = replace(tier, stale_for=self.stale_for)
        if self.stale_if_error is not None:
            tier = replace(tier, stale_if_error=self.stale_if_error)
        # An entry that rests on other tags is another entry.
        key = f"{key}+{digest(more)[:8]}" if more else key
        return question_on(
            tuple(tags), tier, key=key, using="", label=self.label, pattern=self.pattern
        )


def _all_sources() -> list[str]:
    return [source_id(connections[alias]) for alias in sorted(site.databases())]


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


class _Load(KnowingLoad):
    """Computes the value and gives it as a row; `unfit` says then why it must not be kept."""

    __slots__ = ("_compute", "_wanted", "rests")

    def __init__(self, compute: Callable[[], Any], wanted: Wanted, tags: Iterable[str]) -> None:
        super().__init__()
        self._compute, self._wanted = compute, wanted
        self.rests = dict.fromkeys(tags)

    def __call__(self) -> list[Row]:
        with computing(learns=self._wanted.learns, known=self.rests) as under_way:
            under_way.stamps = self.stamps
            value = self._compute()
        self.unfit = under_way.unfit
        more = under_way.rests.keys() - self.rests.keys()
        if more:
            self.rests |= under_way.rests
            learnt.learn(self._wanted.name, filter(_is_for_all, more))
            learnt.learn(self._wanted.key, (tag for tag in more if not _is_for_all(tag)))
            # Not the outer one's affair, which rests on all of that too.
            self.unfit = under_way.unfit = self.unfit or RESTS_ON_MORE
        return [(self._wanted.values.kept(value)[0],)]


def _is_for_all(name: str) -> bool:
    """Whether all values of a function rest on the tag, if one does: it is of a whole model, or of
    what is dropped by hand."""
    if name.startswith("#"):
        return is_hand_tag(name)
    return name.endswith(":*") or ":" not in name or is_ignored_tag(name)


class Asked:
    """A value that is asked for, with all that only the caller's own thread can tell."""

    __slots__ = ("question", "tags", "wanted")

    def __init__(self, wanted: Wanted) -> None:
        key = wanted.key
        more = (*learnt.of(wanted.name), *learnt.of(key))
        self.wanted = wanted
        self.tags = {**wanted.tags, **dict.fromkeys(more)}
        self.question = wanted.question(key, self.tags, more)


def answer(wanted: Wanted, compute: Compute, apart: Apart | None = None) -> Any:
    """The value, from the cache or by `compute()`; a new one each time.

    `apart` gives a function that computes it in whatever other thread, after this call has ended:
    so is it refreshed where the tier says so.

    Values that it is made of are found out when it is computed: it rests on what they rest on.
    Where that is more than was known, this one is not kept, and the next one is.

    Raises what `compute` raises, and `UncacheableResult` for what could not be stored: also where
    the cache is not asked, so that a test without a cache finds it.
    """
    return answer_to(Asked(wanted), compute, apart)


def answer_to(asked: Asked, compute: Compute, apart: Apart | None = None) -> Any:
    """`answer`, in whatever thread."""
    wanted, tags, question = asked.wanted, asked.tags, asked.question
    load = _Load(compute, wanted, tags)
    try:
        if isinstance(question, str):
            emit(ReadEvent(wanted.label, wanted.pattern, outcome.BYPASS, reason=question))
            return wanted.values.kept(compute())[1]
        ((body,),) = read(
            question,
            load,
            again=None if apart is None else lambda: _Load(apart(), wanted, tags),
            survives=wanted.survives,
        )
        return wanted.values.given(body)
    except CorruptEntry as error:
        emit(ErrorEvent("decode", "corrupt", str(error)))
        drop(wanted.own_tag, source="corrupt")
        return wanted.values.kept(compute())[1]
    finally:
        outer = computation()
        if outer is not None:
            own, by_hand = wanted.own_tag, wanted.hand_tag
            outer.rest_on((load.rests.keys() - {own}) | {by_hand} if by_hand else load.rests)
