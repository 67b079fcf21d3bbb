"""Write-behind, as projects call it: increments and events now, statements later.

What is called here takes part in no transaction: it counts also where the transaction around it is
rolled back. Where that matters, call it by ``transaction.on_commit``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import Exists, F, Value
from django.db.models.functions import Coalesce

from cachepatterns.backends.store import counters_store
from cachepatterns.behind import (
    COUNTS,
    EVENTS,
    Buffer,
    buffer_of,
    why_no_counter,
    why_no_events,
)
from cachepatterns.core.behind import WriteBehind
from cachepatterns.exceptions import BackendError, CachePatternsError, ConfigurationError
from cachepatterns.models import FlushedBatch
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.queryset import CachedQuerySet
from cachepatterns.read.counted import counted_row
from cachepatterns.read.options import uncached
from cachepatterns.registry import site
from cachepatterns.write import eventrows
from cachepatterns.write.buffering import put_counts, put_event

M = TypeVar("M", bound=models.Model)

LARGEST = 2**62
"""More than this is no increment, but a mistake."""


def increment(
    target: models.Model | type[models.Model],
    pk: Any = None,
    /,
    *,
    using: str | None = None,
    **amounts: int,
) -> None:
    """Add to counters of one row, some time soon::

        increment(product, view_count=1)
        increment(Product, 7, view_count=1, likes=-1)

    One round trip to Redis, and no statement. Where Redis does not take it, an ordinary UPDATE;
    with ``ON_REDIS_ERROR = "refuse"`` that is refused as any other: `WriteRefused`. Raises
    `CachePatternsError` for what the policy does not declare under ``counters``.
    """
    policy = _policy(target)
    for name, amount in amounts.items():
        _require_counter(policy, name)
        if isinstance(amount, bool) or not isinstance(amount, int) or abs(amount) > LARGEST:
            raise TypeError(f"increment() adds whole numbers, not {name}={amount!r}.")
    buffer = buffer_of(policy, COUNTS, _using(target, using))
    wanted = {name: amount for name, amount in amounts.items() if amount}
    key = _key(policy, target, pk)
    if wanted:
        put_counts(buffer, key, wanted)


async def aincrement(
    target: models.Model | type[models.Model],
    pk: Any = None,
    /,
    *,
    using: str | None = None,
    **amounts: int,
) -> None:
    """`increment`, for coroutines."""
    await sync_to_async(partial(increment, target, pk, using=using, **amounts))()


def pending(
    target: models.Model | type[models.Model], pk: Any = None, /, *, using: str | None = None
) -> dict[str, int]:
    """What was added to each counter of the row and is not written yet; zeros where Redis does not
    say. For what to show, see `with_pending`."""
    policy = _policy(target)
    buffer = buffer_of(policy, COUNTS, _using(target, using))
    key, names = _key(policy, target, pk), list(policy.policy.counters)
    waiting, batches = _waiting(buffer, [key], names)
    rows = [waiting[key], *(batch[key] for batch in batches.values())]
    return {name: sum(row[name] for row in rows) for name in names}


def with_pending(instances: Iterable[M]) -> list[M]:
    """The same instances, each with ``counted``: what its counters come to by now, which is what
    the database holds and what is not written yet::

        [product] = with_pending([product])
        product.counted.view_count

    One round trip and one small cached query for all of them. The fields themselves are left
    alone: saved with them, the increments would count twice.
    """
    found = list(instances)
    if not found:
        return found
    policy = _policy(found[0])
    buffer = buffer_of(policy, COUNTS, _using(found[0], None))
    names, keys = list(policy.policy.counters), [instance.pk for instance in found]
    # First what waits: what is written meanwhile would otherwise be in neither.
    waiting, batches = _waiting(buffer, keys, names)
    values = _values(buffer, sorted(set(keys), key=str), names, list(batches))
    for instance in found:
        held, written = values.get(instance.pk, (dict.fromkeys(names, 0), set()))
        open_ = [batches[name][instance.pk] for name in batches if name not in written]
        counted = {
            name: held[name] + waiting[instance.pk][name] + sum(batch[name] for batch in open_)
            for name in names
        }
        instance.counted = SimpleNamespace(**counted)  # type: ignore[attr-defined]
    return found


def record_event(model: type[models.Model], /, *, using: str | None = None, **fields: Any) -> None:
    """Have a row inserted, some time soon: ``record_event(SearchEvent, words="chair")``.

    It is made now, so times and defaults are those of this moment. One round trip to Redis, and no
    statement. Where Redis does not take it, an ordinary INSERT. Raises `TypeError` for what is
    no field, and `CachePatternsError` for a model whose policy has no ``events``.
    """
    policy = _policy(model)
    buffer = buffer_of(policy, EVENTS, _using(model, using))
    if why := why_no_events(policy):
        raise CachePatternsError(f"Rows of {policy.label} can not be written behind: {why}.")
    row = eventrows.made(policy, fields)
    put_event(buffer, eventrows.spelled(policy, row), row)


async def arecord_event(
    model: type[models.Model], /, *, using: str | None = None, **fields: Any
) -> None:
    """`record_event`, for coroutines."""
    await sync_to_async(partial(record_event, model, using=using, **fields))()


# -- what is asked for --------------------------------------------------------------------------


def _policy(target: models.Model | type[models.Model]) -> ResolvedPolicy:
    model = target if isinstance(target, type) else type(target)
    if not issubclass(model, models.Model):
        raise TypeError(f"Counters and events are of models, not of {target!r}.")
    policy = site.policy_for(model)
    if policy is None:
        raise CachePatternsError(f"{model._meta.label} is not registered: it has no policy.")
    return policy


def _require_counter(policy: ResolvedPolicy, name: str) -> None:
    if not isinstance(policy.policy.counters.get(name), WriteBehind):
        raise CachePatternsError(
            f"{policy.label} has no counter {name!r}: write counters = "
            f'{{"{name}": WriteBehind(every="10s")}} into its policy.'
        )
    if why := why_no_counter(policy, name):
        raise CachePatternsError(f"{policy.label}.{name} can not be written behind: {why}.")


def _using(target: models.Model | type[models.Model], using: str | None) -> str:
    if using is not None:
        return using
    if isinstance(target, models.Model):
        return target._state.db or router.db_for_write(type(target), instance=target)
    return router.db_for_write(target)


def _key(policy: ResolvedPolicy, target: Any, pk: Any) -> Any:
    given = target.pk if isinstance(target, models.Model) else pk
    if isinstance(target, models.Model) and pk is not None:
        raise TypeError("Give an instance, or a model and a primary key.")
    try:
        key = policy.model._meta.pk.to_python(given)
    except ValidationError as error:
        raise ValueError(f"{given!r} is no primary key of {policy.label}.") from error
    if key is None:
        raise ValueError(f"Which row of {policy.label}? It has no primary key.")
    return key


# -- what waits, and what the database holds ------------------------------------------------------

Amounts = dict[Any, dict[str, int]]


def _waiting(
    buffer: Buffer, keys: Iterable[Any], names: list[str]
) -> tuple[Amounts, dict[str, Amounts]]:
    """What waits of each row, and what each open batch holds of it."""
    pairs = [(key, name) for key in dict.fromkeys(keys) for name in names]
    store_fields = [f"{name}:{key}" for key, name in pairs]
    try:
        store = counters_store()
        found, batches = store.call(
            "read counts", store.backend.waiting_counts, buffer.key, store_fields
        )
    except (BackendError, ConfigurationError):  # counted and logged by the store
        found, batches = [0] * len(pairs), {}

    def by_row(amounts: Iterable[int]) -> Amounts:
        rows: Amounts = {}
        for (key, name), amount in zip(pairs, amounts, strict=True):
            rows.setdefault(key, {})[name] = amount
        return rows

    return by_row(found), {batch: by_row(amounts) for batch, amounts in batches.items()}


def _values(
    buffer: Buffer, keys: list[Any], names: list[str], batches: list[str]
) -> Mapping[Any, tuple[dict[str, int], set[str]]]:
    """What the database holds in the counters of each row, and which of the open batches are in
    it: one statement, so that both are of one moment."""
    model = buffer.policy.model
    if len(keys) == 1 and not batches:
        row = counted_row(buffer.policy, buffer.using, keys[0], names)
        held = dict.fromkeys(names, 0) if row is None else _numbers(names, row)
        return {keys[0]: (held, set())}
    rows: Any = CachedQuerySet(model, using=buffer.using).order_by()
    rows = rows.filter(pk=keys[0]) if len(keys) == 1 else rows.filter(pk__in=keys)
    # An expression, so that it rests on every write of the counter, ignored or not.
    columns: list[Any] = [Coalesce(F(name), Value(0)) for name in names]
    if not batches:
        found = list(rows.values_list("pk", *columns))
    else:
        flushed = FlushedBatch._base_manager.using(buffer.using)
        columns += [Exists(flushed.filter(pk=batch)) for batch in batches]
        with uncached():
            found = list(rows.values_list("pk", *columns))
    count = len(names)
    return {
        row[0]: (
            _numbers(names, row[1 : count + 1]),
            {batch for batch, is_in in zip(batches, row[count + 1 :], strict=True) if is_in},
        )
        for row in found
    }


def _numbers(names: Iterable[str], values: Iterable[int | None]) -> dict[str, int]:
    """A counter that is NULL has counted nothing yet."""
    return {name: value or 0 for name, value in zip(names, values, strict=True)}
