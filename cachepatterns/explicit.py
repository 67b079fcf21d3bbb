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
from cachepatterns.registry import concrete_model, site, table_name
from cachepatterns.replicas import primary_alias
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
    using = primary_alias(using)
    connection = connections[using]
    database = database_id(connection)
    wanted: set[str] = set()
    labels: set[str] = set()
    for target in targets:
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
