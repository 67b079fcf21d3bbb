"""Explicit invalidation: for what no layer can see, and for people at a prompt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models
from django.db.models import QuerySet

from cachepatterns.core import tag as tags
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.observe import InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.options import uncached
from cachepatterns.registry import concrete_model, site
from cachepatterns.transactions import database_id
from cachepatterns.write.changes import Values, model_tags, row_tags
from cachepatterns.write.dispatch import record

Target = models.Model | type[models.Model] | QuerySet[Any] | str


def invalidate(*targets: Target, using: str = "default", source: str = "explicit") -> int:
    """Invalidate every entry that rests on `targets`; returns the number of tags bumped.

    A target is an instance, a model, a queryset or a tag from `cachepatterns.tag`. Of rows,
    what the database holds now and what the instance holds both count, so the lists they
    stand in go too. Inside a transaction it happens after the commit. Raises
    `CachePatternsError` for a model that is not registered, `TypeError` for anything else.
    """
    connection = connections[using]
    database = database_id(connection)
    wanted: set[str] = set()
    labels: set[str] = set()
    for target in targets:
        if isinstance(target, str):
            wanted.add(target)
            labels.add(tags.label_of(target))
            continue
        policy = _policy(target)
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


def _policy(target: Any) -> ResolvedPolicy:
    if isinstance(target, QuerySet):
        model = target.model
    elif isinstance(target, models.Model):
        model = type(target)
    elif isinstance(target, type) and issubclass(target, models.Model):
        model = target
    else:
        raise TypeError(f"invalidate() takes models, querysets and tags, not {target!r}.")
    policy = site.policy_for(model)
    if policy is None:
        label = concrete_model(model)._meta.label
        raise CachePatternsError(f"{label} is not registered; nothing of it is cached.")
    return policy


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
