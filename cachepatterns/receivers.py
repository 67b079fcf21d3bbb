"""The signals' door: ``post_save`` feeds the registry what a statement can't know.

The statement alone is enough to keep the cache right; the instance tells which object it
was, for the people who read the list of invalidations. Connected for models registered by name.

Not ``post_delete``: a receiver of it switches off Django's fast deletes, which are one
statement where the Collector else sends up to four; and a DELETE tells its rows itself. Nor
``m2m_changed``, which has Django read the links before it makes new ones.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save

from cachepatterns.core import tag
from cachepatterns.observe import InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, pending_writes
from cachepatterns.write.dispatch import record
from cachepatterns.write.telling import Rows
from cachepatterns.write.wholesale import wholesale
from cachepatterns.writing_through import write_through


def connect() -> None:
    """Connect to every model registered by name; asking twice changes nothing."""
    for policy in site.policies():
        if not policy.by_wildcard:
            uid = f"cachepatterns.{policy.label}.saved"
            post_save.connect(saved, sender=policy.model, dispatch_uid=uid)


def saved(sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    """Name the object that was saved, unless the statement has named it already."""
    connection = connections[using]
    pending = pending_writes(connection)
    if pending is None and connection.vendor == "postgresql":
        return  # in autocommit the tags are bumped already
    policy = site.policy_for(sender)
    if policy is None or policy.pk is None or policy.tier.ttl is None:
        return
    pk = str(instance.pk)
    if pending is not None:
        for event in pending.events:
            if event.object_pk == pk and event.object_label == policy.label:
                return
    if wholesale() or _sets_only_ignored(policy, kwargs.get("update_fields")):
        return
    again = _to_read_again(policy, connection, instance, kwargs.get("created", False))
    if pending is None:
        if again:
            write_through(
                [InvalidationEvent((policy.label,), (), "save", using, rows=again)], True
            )
        return
    try:
        spelled = tag.canonical(policy.pk.kind, instance.pk)
    except (ValueError, TypeError):
        return
    record(
        connection,
        InvalidationEvent(
            labels=(policy.label,),
            tags=(tag.row_tag(policy.label, database_id(connection), spelled),),
            source="save",
            using=using,
            object_pk=pk,
            object_label=policy.label,
            rows=again,
        ),
    )


def _sets_only_ignored(policy: ResolvedPolicy, update_fields: Any) -> bool:
    if not update_fields or not policy.ignored:
        return False
    fields = policy.model._meta.local_concrete_fields
    return {f.name for f in fields if f.column in policy.ignored}.issuperset(update_fields)


def _to_read_again(
    policy: ResolvedPolicy, connection: BaseDatabaseWrapper, instance: models.Model, created: bool
) -> Rows:
    """The row, where it is to be written through and no statement has told it: an UPDATE on
    SQLite and MariaDB. What the instance holds only says which entries to make."""
    if not policy.policy.write_through or created or connection.vendor == "postgresql":
        return ()
    return ((policy.label, {n.attname: getattr(instance, n.attname) for n in policy.narrowing}),)
