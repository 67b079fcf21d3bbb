"""Explicit invalidation: for what no layer can see, and for people at a prompt."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import tag as tags
from cachepatterns.core.key import tag_key
from cachepatterns.declarations import tag_or_model
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.observe import InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.options import uncached
from cachepatterns.registry import concrete_model, site, table_name
from cachepatterns.replicas import primary_alias
from cachepatterns.transactions import database_id, in_atomic, in_transaction
from cachepatterns.write.changes import Values, model_tags, row_tags
from cachepatterns.write.dispatch import record, tell

Target = models.Model | type[models.Model] | QuerySet[Any] | str

PATTERN_LOOKS_AT = 1_000_000
"""Keys of the server that a pattern is compared with at most."""


def invalidate(
    *targets: Target,
    pattern: str | None = None,
    using: str = "default",
    source: str = "explicit",
) -> int:
    """Invalidate every entry that rests on `targets`; returns the number of tags bumped.

    A target is an instance, a model (or its label, ``"shop.Product"``), a queryset or a tag from
    `cachepatterns.tag`. Of rows, what the database holds now and what the instance holds both
    count, so the lists they stand in go too. Inside a transaction it happens after the commit.
    Raises `CachePatternsError` for a model that is not registered, `ValueError` for a text that
    is neither a tag nor a label, `TypeError` for anything else.

    `pattern` is the last resort: a glob of *tags* (``"#catalog:*"``, ``"shop.product@*:pk=7"``),
    looked for among all keys of the server. Inside a transaction it is looked for after the
    commit, when 0 has been returned. Raises `BackendError` where Redis does not answer, and
    `CachePatternsError` where the server has more than `PATTERN_LOOKS_AT` keys, having bumped
    what it had found until then.
    """
    using = primary_alias(using)
    connection = connections[using]
    count = _invalidate_pattern(connection, pattern, source) if pattern is not None else 0
    return count + _invalidate(connection, targets, source)


async def ainvalidate(
    *targets: Target,
    pattern: str | None = None,
    using: str = "default",
    source: str = "explicit",
) -> int:
    """`invalidate`, for coroutines."""
    run = partial(invalidate, *targets, pattern=pattern, using=using, source=source)
    return await sync_to_async(run)()


def invalidate_on_commit(
    *targets: Target, using: str = "default", source: str = "explicit"
) -> None:
    """`invalidate`, by the rows as they are now and once more as they are committed.

    For code that calls it in the midst of a transaction which goes on to write where no layer
    can see: a queryset may choose other rows by then, an instance's row may stand in other
    lists. Outside of `atomic` it is `invalidate`. What a savepoint takes back is not looked at
    again.
    """
    invalidate(*targets, using=using, source=source)
    rows = [target for target in targets if isinstance(target, (models.Model, QuerySet))]
    alias = primary_alias(using)
    if rows and in_atomic(connections[alias]):
        again = partial(invalidate, *rows, using=using, source=source)
        transaction.on_commit(again, using=alias, robust=True)


def _invalidate(connection: BaseDatabaseWrapper, targets: tuple[Target, ...], source: str) -> int:
    using = connection.alias
    database = database_id(connection)
    wanted: set[str] = set()
    labels: set[str] = set()
    for named in targets:
        target = tag_or_model(named) if isinstance(named, str) else named
        if isinstance(target, str):
            wanted.add(target)
            labels.add(tags.label_of(target))
            continue
        model = _model(target)
        policy = site.policy_for(model)
        owner = site.tracked().get(table_name(model))
        if owner is not None and (policy is None or policy.model is not owner):
            # Of several models on one table, readers depend on one, whichever they asked.
            wanted |= model_tags(owner._meta.label_lower, database)
            labels.add(owner._meta.label_lower)
            if policy is None:
                continue
        if policy is None:
            raise CachePatternsError(
                f"{model._meta.label} is not registered; nothing of it is cached."
            )
        labels.add(policy.label)
        if isinstance(target, type):
            wanted |= model_tags(policy.label, database)
        else:
            wanted |= row_tags(
                policy, database, ((None, row) for row in _rows(target, policy, using))
            )
    if wanted:
        alone = targets[0] if len(targets) == 1 else None
        pk = str(alone.pk) if isinstance(alone, models.Model) else None
        record(
            connection,
            InvalidationEvent(
                labels=tuple(sorted(labels)),
                tags=tuple(sorted(wanted)),
                source=source,
                using=using,
                object_pk=pk,
                object_label=next(iter(labels)) if pk is not None else None,
            ),
        )
    return len(wanted)


def _model(target: Any) -> type[models.Model]:
    if isinstance(target, QuerySet):
        return concrete_model(target.model)
    if isinstance(target, models.Model):
        return concrete_model(type(target))
    if isinstance(target, type) and issubclass(target, models.Model):
        return concrete_model(target)
    raise TypeError(f"invalidate() takes models, querysets and tags, not {target!r}.")


def _rows(
    target: models.Model | QuerySet[Any], policy: ResolvedPolicy, using: str
) -> Iterable[Values]:
    """The narrowed values of rows, as the database holds them."""
    attnames = [narrowing.attname for narrowing in policy.narrowing]
    if isinstance(target, models.Model):
        yield {name: getattr(target, name) for name in attnames}
        queryset = policy.model._base_manager.filter(pk=target.pk)
    else:
        queryset = target
    with uncached():
        yield from list(queryset.using(using).order_by().values(*attnames))


def _invalidate_pattern(connection: BaseDatabaseWrapper, pattern: str, source: str) -> int:
    """Bump the tags that match.

    What must not happen: a reader loads the old value before this, and stores it after the
    search. So it is not entries that are looked for but stamps: the stamp he holds stood when
    the search began, and a search that is not cut short finds all of these. Who mints his
    stamps later loads later.
    """
    if not isinstance(pattern, str) or not pattern:
        raise TypeError(f"invalidate() takes as pattern a glob of tags, not {pattern!r}.")
    if in_atomic(connection):
        later = partial(_bump_pattern, pattern, source, connection.alias)
        transaction.on_commit(later, using=connection.alias, robust=True)
        return 0
    if in_transaction(connection):
        raise CachePatternsError(
            "In a transaction that was begun by hand nobody can wait for its commit: "
            "call invalidate(pattern=…) after it."
        )
    return _bump_pattern(pattern, source, connection.alias)


def _bump_pattern(pattern: str, source: str, using: str) -> int:
    store, prefix, found = current_store(), config().PREFIX, set[str]()
    head = tag_key(prefix, "")
    pages = store.backend.scan(f"{glob.escape(head)}{pattern}", limit=PATTERN_LOOKS_AT)
    is_whole = False
    while True:
        try:
            page = store.call("search", next, pages)
        except StopIteration as end:
            is_whole = bool(end.value)
            break
        found.update(key.removeprefix(head) for key in page)
        store.bump(page)
    if found:
        labels = tuple(sorted({tags.label_of(name) for name in found}))
        event = InvalidationEvent(labels, tuple(sorted(found)), source, using)
        tell([event], 0.0, delivered=not store.undelivered)
    if not is_whole:
        raise CachePatternsError(
            f"The server has more than {PATTERN_LOOKS_AT} keys: {len(found)} tags that match "
            f"{pattern!r} were invalidated, others may be left. Invalidate a model or a named "
            "tag instead."
        )
    return len(found)
