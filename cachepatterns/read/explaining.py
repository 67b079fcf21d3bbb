"""Explaining: what a read would ask the cache, why it rests on what it rests on, and whether it
would be answered from it now.

The read itself is begun, on its very own way, and left where it would ask Redis or the database.
So an explanation is of what would happen, and not of what somebody believes that would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from cachepatterns import around, observe
from cachepatterns.around import Operation
from cachepatterns.backends.store import current_store
from cachepatterns.core import outcome
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.observe import Event, ReadEvent
from cachepatterns.origins import Origin, origins
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.asking import Compiled, compiling_only
from cachepatterns.read.looking import Seen, look
from cachepatterns.registry import find_model, site

NO_QUESTION = "Django answers it without asking anybody"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What `explain_cache()` tells; ``print()`` it, or take ``as_dict()``."""

    label: str
    pattern: str
    bypass: str
    """Why the cache is not asked; empty if it is."""
    policy: dict[str, Origin]
    """The policy's values, and where each was said."""
    seen: Seen | None
    """What stands in the cache; `None` where it is not asked, or does not answer."""
    trouble: str = ""
    """Why the cache could not be looked at."""
    ttl: float | None = None
    """Seconds that an entry of this answer may live."""
    more: int = 0
    """How many further entries the same read asks for (``in_bulk()``)."""

    @property
    def key(self) -> str | None:
        return None if self.seen is None else self.seen.key

    @property
    def tags(self) -> tuple[str, ...]:
        """What an entry of this answer rests on."""
        return () if self.seen is None else tuple(seen.tag for seen in self.seen.tags)

    @property
    def would_hit(self) -> bool:
        return self.seen is not None and self.seen.would_hit

    @property
    def why_not(self) -> tuple[str, ...]:
        """Why it would not be a hit now; empty if it would."""
        if self.bypass:
            return (f"bypass: {self.bypass}",)
        return self.seen.why_not if self.seen is not None else (self.trouble,)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "model": self.label,
            "pattern": self.pattern,
            "would_hit": self.would_hit,
            "why_not": list(self.why_not),
            "bypass": self.bypass,
            "ttl": self.ttl,
            "policy": {
                name: {"value": origin.value, "from": origin.where}
                for name, origin in self.policy.items()
            },
            "cache": None if self.seen is None else self.seen.as_dict(),
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))


class _Begun(BaseException):
    """A read has begun. No `Exception`: nobody on the way is to handle it."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


def explain(ask: Callable[[], Any], *, using: str, label: str) -> Explanation:
    """What `ask()` would ask of the cache first. Writes nothing, and asks no database.

    `using` is the alias that it would ask, `label` the model that it is about.
    """
    here, bypasses = threading.get_ident(), list[ReadEvent]()

    def leave(operation: Operation, proceed: Callable[[], Any]) -> Any:
        if threading.get_ident() != here:
            return proceed()
        raise _Begun(operation)

    def hear(event: Event) -> None:
        if isinstance(event, ReadEvent) and event.outcome == outcome.BYPASS:
            bypasses.append(event)

    around.add(leave, outermost=True)
    try:
        with observe.diverted(hear), compiling_only(connections[using]):
            ask()
    except _Begun as begun:
        return _of(begun.operation)
    except Compiled:
        pass
    finally:
        around.remove(leave)
    last = bypasses[-1] if bypasses else None
    return Explanation(
        label=last.label if last else label,
        pattern=last.pattern if last else "",
        bypass=(last.reason or "not registered") if last else NO_QUESTION,
        policy=_policy(last.label if last else label),
        seen=None,
    )


def _of(operation: Operation) -> Explanation:
    question, seen, trouble = operation.question, None, ""
    try:
        places = (question.stamps, question.guards, question.leases)
        seen = look(question.key, *places, question.soft)
        if current_store().is_open:
            trouble = "the breaker is open: the cache failed a moment ago"
    except (BackendError, ConfigurationError) as error:
        trouble = f"the cache does not answer: {error}"
    return Explanation(
        label=operation.label,
        pattern=operation.pattern,
        bypass="",
        policy=_policy(operation.label),
        seen=seen,
        trouble=trouble,
        ttl=operation.ttl,
        more=operation.keys - 1,
    )


def _policy(label: str) -> dict[str, Origin]:
    model = find_model(label)
    policy: ResolvedPolicy | None = site.policy_for(model) if model is not None else None
    return {} if policy is None else origins(policy)


def _lines(told: Explanation) -> list[str]:
    found = [f"{told.label} {told.pattern}".rstrip() + ": " + _verdict(told)]
    found += [f"  {reason}" for reason in told.why_not]
    seen = told.seen
    if seen is not None:
        found += [
            "",
            f"key       {seen.key}" + (f" (the first of {told.more + 1})" * bool(told.more)),
        ]
        if seen.entry is not None:
            left = "?" if seen.ttl_left is None else f"{seen.ttl_left:.0f}"
            found.append(
                f"entry     {seen.entry.rows} rows, {seen.stored_bytes} bytes, "
                f"{seen.age:.0f} s old, {left} of {seen.entry.ttl:.0f} s left, loaded in "
                f"{seen.entry.load_seconds * 1000:.1f} ms"
            )
        found += ["", "rests on"]
        found += [
            line
            for tag in seen.tags
            for line in (f"  {tag.tag}", f"      {tag.why}", f"      {tag.state}")
        ]
        found += ["", "guards"]
        found += [f"  {guard.name}: {guard.state}" for guard in seen.guards]
    if told.policy:
        width = max(map(len, told.policy))
        found += ["", "policy"]
        found += [f"  {name:<{width}}  {origin}" for name, origin in told.policy.items()]
        if told.ttl is not None and told.ttl != told.policy["ttl"].value:
            why = "the query says so, or another model in it"
            found.append(f"  entries of this read live {told.ttl:g} s: {why}")
    return found


def _verdict(told: Explanation) -> str:
    if told.bypass:
        return "not cached"
    if told.seen is not None and told.would_hit and told.seen.is_served_past:
        return "would hit, past its time: it is loaded anew meanwhile"
    return "would hit" if told.would_hit else "would miss"
