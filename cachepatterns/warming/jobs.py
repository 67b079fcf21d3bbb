"""What is warmed, one thing at a time: a queryset that a policy declares, or a hot key.

Several warm-ups at once share the work: each claims what it is about to load (`read.claim`), and
finds what another has loaded meanwhile. Batches of rows are claimed here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from django.db.models import QuerySet
from django.db.models.query import ModelIterable

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.converting import read_through
from cachepatterns.core.key import claim_key
from cachepatterns.exceptions import BackendError
from cachepatterns.hotkeys import STORED, WARM, HotKey, hottest
from cachepatterns.policy import ResolvedPolicy, says_warm
from cachepatterns.read.rowplans import RowPlan, why_no_rows
from cachepatterns.read.rows import get_rows
from cachepatterns.warming.notebook import name_of
from cachepatterns.warming.standing import stand
from cachepatterns.warming.warmed import Warmed

_POLL_SECONDS = 0.02
PEEKED_AT_ONCE = 100


class Job(Protocol):
    """One thing to ask for."""

    @property
    def label(self) -> str: ...

    @property
    def name(self) -> bytes:
        """The same for the same question in any run."""

    @property
    def is_hot(self) -> bool:
        """Whether it is a key that was read much, rather than declared."""

    def do(self, done: Warmed) -> None:
        """Ask for it, counting into `done`. May raise whatever the database does."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A queryset of a policy's `warm()`; with a `batch_size`, the rows of its objects too."""

    label: str
    name: bytes
    queryset: QuerySet[Any]
    batch_size: int
    is_hot = False

    def do(self, done: Warmed) -> None:
        found = list(read_through(self.queryset))  # with the tier and tags it has
        done.rows += len(found)
        if not self.batch_size or self.queryset._iterable_class is not ModelIterable:
            return
        plan, _reason = why_no_rows(self.queryset.model, "pk", self.queryset.db)
        if plan is not None:
            rows = iter(found)
            while batch := [instance.pk for instance in islice(rows, self.batch_size)]:
                _warm_rows(plan, self.queryset.model, batch)


@dataclass(frozen=True, slots=True)
class Hot:
    """A key that the fleet has read much."""

    label: str
    name: bytes
    key: HotKey
    is_hot = True

    def do(self, done: Warmed) -> None:
        # Its read is heard as any other; what can not even be asked is told by the answer.
        reason = self.key.warm()
        if reason not in (WARM, STORED) and reason not in done.not_cached:
            done.not_cached[reason] += 1


def declared(policy: ResolvedPolicy) -> bool:
    """Whether the policy says at all what to warm."""
    return says_warm(policy.policy)


def declared_jobs(
    policy: ResolvedPolicy, *, limit: int | None = None, batch_size: int = 0
) -> Iterator[Job]:
    """What the policy declares, at most `limit` of it. Raises what its `warm()` does."""
    for number, queryset in enumerate(islice(iter(policy.policy.warm() or ()), limit)):
        name = name_of(policy.label, str(batch_size), *_asked(queryset, number))
        yield Declared(policy.label, name, queryset, batch_size)


def hot_jobs(
    limit: int, *, labels: Collection[str] | None = None, only_missing: bool = False
) -> tuple[list[Job], list[Warmed]]:
    """What the fleet has read most, the most read first; and of each model what stands already,
    which with `only_missing` is found out for a hundred keys in one round trip.

    Raises `BackendError`.
    """
    keys = hottest(limit, labels=labels)
    results = {key.label: Warmed(label=key.label) for key in keys}
    if only_missing:
        warm = [
            key
            for start in range(0, len(keys), PEEKED_AT_ONCE)
            for key in stand(keys[start : start + PEEKED_AT_ONCE])
        ]
        for key in warm:
            results[key.label] += Warmed(label=key.label, asked=1, already_warm=1)
        standing = {key.key for key in warm}
        keys = [key for key in keys if key.key not in standing]
    jobs: list[Job] = [Hot(key.label, name_of("hot", key.key), key) for key in keys]
    return jobs, list(results.values())


def _asked(queryset: QuerySet[Any], number: int) -> Sequence[str]:
    try:
        # A clone: compiling may change a query, and this one is to be evaluated.
        sql, params = queryset.query.clone().get_compiler(queryset.db).as_sql()
    except Exception:  # evaluating it will tell, if it is an error at all
        return (str(number),)
    return (queryset.db, sql, repr(params))


def _warm_rows(plan: RowPlan, model: Any, batch: list[Any]) -> None:
    """Have the rows of a batch stored, by whoever claims it; who comes later waits, and hits."""
    name = name_of(plan.policy.label, plan.using, *map(str, batch)).hex()
    key = claim_key(config().PREFIX, f"rows:{plan.policy.label}:{name}", [])
    token, store, life = os.urandom(12).hex(), current_store(), config().FLIGHT_TIMEOUT
    deadline = time.monotonic() + life
    is_mine = False
    try:
        while not (is_mine := store.claim(key, token, max(life, 0.001))):
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
    except BackendError:
        pass  # counted and logged; nobody else can store anything either
    try:
        get_rows(plan, model, batch)
    finally:
        if is_mine:
            store.disclaim(key, token)
