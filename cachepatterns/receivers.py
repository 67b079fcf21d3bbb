"""The signals' door: Django's model signals feed the registry what a statement can't know.

The statement alone is enough to keep the cache right; the instance tells which object it
was, for the people who read the list of invalidations. Connected for registered models
only, and by name: a receiver on a model switches off Django's fast deletes for it.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, models
from django.db.models.signals import post_delete, post_save

from cachepatterns.core import tag
from cachepatterns.observe import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, pending_writes
from cachepatterns.write.dispatch import record


def connect() -> None:
    """Connect the receivers to every model registered by name; asking twice changes nothing."""
    for policy in site.policies():
        if policy.by_wildcard:
            continue
        uid = f"cachepatterns.{policy.label}"
        post_save.connect(saved, sender=policy.model, dispatch_uid=f"{uid}.saved")
        post_delete.connect(deleted, sender=policy.model, dispatch_uid=f"{uid}.deleted")


def saved(sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    """Name the object that was saved, unless the statement has named it already."""
    _name_object(sender, instance.pk, using, "save")


def deleted(sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    """Name the object that was deleted."""
    _name_object(sender, instance.pk, using, "delete")


def _name_object(model: type[models.Model], pk: Any, using: str, source: str) -> None:
    policy = site.policy_for(model)
    connection = connections[using]
    if policy is None or policy.pk is None or policy.tier.ttl is None:
        return
    pending = pending_writes(connection)
    if pending is None or any(event.object_pk == str(pk) for event in pending.events):
        return  # in autocommit the tags are bumped already
    try:
        spelled = tag.canonical(policy.pk.kind, pk)
    except (ValueError, TypeError):
        return
    record(
        connection,
        InvalidationEvent(
            labels=(policy.label,),
            tags=(tag.row_tag(policy.label, database_id(connection), spelled),),
            source=source,
            using=using,
            object_pk=str(pk),
            object_label=policy.label,
        ),
    )
