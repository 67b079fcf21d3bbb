"""Explicit invalidation: for what no layer can see, and for people at a prompt."""

from __future__ import annotations

from typing import Any

from django.db import connections, models
from django.db.models import QuerySet

from cachepatterns.core import tag as tags
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.observe import InvalidationEvent
from cachepatterns.registry import concrete_model, site
from cachepatterns.transactions import database_id
from cachepatterns.write.dispatch import record

Target = models.Model | type[models.Model] | QuerySet[Any] | str


def invalidate(*targets: Target, using: str = "default", source: str = "explicit") -> int:
    """Invalidate every entry that rests on `targets`; returns the number of tags bumped.

    A target is an instance, a model, a queryset (its rows are looked up in the database)
    or a tag from `cachepatterns.tag`. Inside a transaction it happens after the commit.
    Raises `CachePatternsError` for a model that is not registered.
    """
    connection = connections[using]
    database = database_id(connection)
    wanted: set[str] = set()
    labels: set[str] = set()
    pk: str | None = None
    for target in targets:
        if isinstance(target, str):
            wanted.add(target)
            labels.add(tags.label_of(target))
            continue
        if isinstance(target, QuerySet):
            model, values = target.model, [*_keys(target, using)]
        elif isinstance(target, models.Model):
            model, values = type(target), [target.pk]
            pk = str(target.pk)
        elif isinstance(target, type) and issubclass(target, models.Model):
            model, values = target, None
        else:
            raise TypeError(f"invalidate() takes models, querysets and tags, not {target!r}.")
        policy = site.policy_for(model)
        if policy is None:
            raise CachePatternsError(
                f"{concrete_model(model)._meta.label} is not registered; nothing of it is cached."
            )
        labels.add(policy.label)
        if values is None or policy.pk is None:
            wanted.add(tags.model_tag(policy.label, database))
        else:
            wanted.add(tags.any_row_tag(policy.label, database))
            kind = policy.pk.kind
            wanted |= {
                tags.row_tag(policy.label, database, tags.canonical(kind, v)) for v in values
            }
    if wanted:
        record(
            connection,
            InvalidationEvent(
                labels=tuple(sorted(labels)),
                tags=tuple(sorted(wanted)),
                source=source,
                using=using,
                object_pk=pk if len(targets) == 1 else None,
                object_label=next(iter(labels)) if pk is not None and len(targets) == 1 else None,
            ),
        )
    return len(wanted)


def _keys(queryset: QuerySet[Any], using: str) -> Any:
    from cachepatterns.read.options import uncached

    with uncached():
        return list(queryset.using(using).values_list("pk", flat=True))
