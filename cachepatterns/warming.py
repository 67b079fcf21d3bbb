"""Warming: evaluating what policies declare in `warm()`, so that the first visitor finds it.

What is warm already is a hit and costs one round trip, so a warm-up that was interrupted
is simply run again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.db.models.query import ModelIterable

from cachepatterns import around, observe
from cachepatterns.converting import cached
from cachepatterns.core import outcome
from cachepatterns.observe import Event, ReadEvent, WarmEvent
from cachepatterns.policy import ModelPolicy, ResolvedPolicy
from cachepatterns.read.rowplans import why_no_rows
from cachepatterns.read.rows import get_rows


@dataclass(kw_only=True)
class Warmed:
    """What a warm-up did for one model. ``asked`` counts evaluated querysets."""

    label: str
    declared: bool
    asked: int = 0
    rows: int = 0
    stored: int = 0
    already_warm: int = 0
    not_cached: Counter[str] = field(default_factory=Counter)
    """By reason."""
    failed: list[str] = field(default_factory=list)
    finished: bool = False

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**vars(self), "not_cached": dict(self.not_cached)}

    def hear(self, event: Event) -> None:
        if not isinstance(event, ReadEvent):
            return
        if event.outcome in (*outcome.ANSWERED, outcome.SHARED):
            self.already_warm += event.count
        elif event.outcome == outcome.MISS and not event.reason:
            self.stored += event.count
        else:
            self.not_cached[event.reason or event.outcome] += event.count


def declared(policy: ResolvedPolicy) -> bool:
    """Whether the policy says at all what to warm."""
    return type(policy.policy).warm is not ModelPolicy.warm


def querysets(policy: ResolvedPolicy, limit: int | None = None) -> Iterator[QuerySet[Any]]:
    """What the policy declares, at most `limit` of it."""
    return islice(iter(policy.policy.warm() or ()), limit)


def _told(warm: Callable[..., Warmed]) -> Callable[..., Warmed]:
    """Has whoever traces and counts know of each model's warm-up."""

    @wraps(warm)
    def told(policy: ResolvedPolicy, **options: Any) -> Warmed:
        operation = around.Operation(name="warm", label=policy.label, keys=0)
        done = around.run(operation, partial(warm, policy, **options))
        observe.emit(WarmEvent(done.label, done.stored, done.already_warm))
        return done

    return told


@_told
def warm(
    policy: ResolvedPolicy,
    *,
    limit: int | None = None,
    batch_size: int = 0,
    deadline: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    into: Warmed | None = None,
) -> Warmed:
    """Evaluate what the policy declares, until `deadline` on `clock`.

    With a `batch_size`, the rows of the objects found are stored too, that many in one
    query. A queryset that raises is noted and the others go on. Fills `into`, if given,
    as it goes, so that an interrupted warm-up can tell what it did.
    """
    done = into or Warmed(label=policy.label, declared=declared(policy))

    # Only this thread's reads are the warm-up's, but the command is the only reader.
    listener = done.hear
    observe.subscribe(listener)
    try:
        for queryset in querysets(policy, limit):
            if clock() >= deadline:
                return done
            try:
                found = list(cached(queryset))
                done.rows += len(found)
                if batch_size and queryset._iterable_class is ModelIterable:
                    _warm_rows(queryset, found, batch_size)
            except Exception as error:
                done.failed.append(f"{type(error).__name__}: {error}")
            done.asked += 1
        done.finished = True
    except Exception as error:  # warm() itself
        done.failed.append(f"{type(error).__name__}: {error}")
    finally:
        observe.unsubscribe(listener)
    return done


def _warm_rows(queryset: QuerySet[Any], found: Iterable[Any], size: int) -> None:
    plan, _reason = why_no_rows(queryset.model, "pk", queryset.db)
    if plan is None:
        return
    rows = iter(found)
    while batch := [instance.pk for instance in islice(rows, size)]:
        get_rows(plan, queryset.model, batch)
