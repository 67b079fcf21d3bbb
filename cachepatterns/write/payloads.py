"""Events of the outbox, read: from a payload to the tags it concerns.

What Django wrote holds its tags; what triggers wrote holds rows, whose tags are worked out here
by the functions that Django's own writes use (`write.changes`). What can not be understood
bumps everything: fewer hits, but nothing stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core import tag
from cachepatterns.core.change import Change, RowValues
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.transactions import database_id
from cachepatterns.write.changes import (
    Values,
    model_tags,
    row_tags,
    rule_tags,
    tells_its_table,
    unknown_change,
)

log = BurstLog()

Columns = Mapping[str, Any]
Rows = Sequence[tuple[Columns | None, Columns | None]]


def told(payload: str, source: str, connection: BaseDatabaseWrapper) -> InvalidationEvent | None:
    """What a recorded event invalidates; `None` if nothing (any more)."""
    try:
        # Exactly: what rules compare must not have gone through a float.
        found = json.loads(payload, parse_float=Decimal)
        if "tags" in found:
            label, pk = found.get("object") or (None, None)
            return InvalidationEvent(
                labels=tuple(map(str, found["labels"])),
                tags=tuple(map(str, found["tags"])),
                source=source,
                using=connection.alias,
                object_label=label,
                object_pk=pk,
            )
        table, rows = str(found["table"]), found["rows"]
        pairs = None if rows is None else [(row["old"], row["new"]) for row in rows]
        source = source or f"database {str(found.get('op') or 'trigger').lower()}"
    except (ValueError, TypeError, KeyError, AttributeError):
        log.log("An event of the outbox is not understood; everything is bumped: %r", payload)
        return _everything(source or "outbox", connection)
    return _told_by_table(table, pairs, source, connection)


def _told_by_table(
    table: str, rows: Rows | None, source: str, connection: BaseDatabaseWrapper
) -> InvalidationEvent | None:
    model = site.tracked().get(table.rsplit(".", 1)[-1].strip('"').lower())
    if model is None:
        return None  # not cached any more, though the trigger still stands
    label = model._meta.label_lower
    tags = model_tags(label, database_id(connection))
    changes, alone = [unknown_change(model, connection.alias, source)], None
    policy = site.policy_for(model)
    if policy is not None:
        if rows is not None and tells_its_table(model):
            values = _narrowed(policy, rows)
            if values is not None:
                tags = row_tags(policy, database_id(connection), values)
                changes = _changes(policy, rows, source, connection.alias) or changes
                alone = _alone(policy, values)
        tags |= rule_tags(policy, changes)
    return InvalidationEvent(
        labels=(label,),
        tags=tuple(sorted(tags)),
        source=source,
        using=connection.alias,
        object_label=label if alone is not None else None,
        object_pk=alone,
    )


def _narrowed(
    policy: ResolvedPolicy, rows: Rows
) -> list[tuple[Values | None, Values | None]] | None:
    """The narrowed columns of each row; `None` if one was not told (the policy is newer)."""

    def narrowed(row: Columns | None) -> Values | None:
        if row is None:
            return None
        return {narrowing.attname: row[narrowing.column] for narrowing in policy.narrowing}

    try:
        return [(narrowed(old), narrowed(new)) for old, new in rows]
    except KeyError:
        return None


def _changes(policy: ResolvedPolicy, rows: Rows, source: str, using: str) -> list[Change]:
    """The rows as rules see them; none if a column was not told or can not be read."""
    fields: Any = policy.model._meta.local_concrete_fields
    pk = policy.model._meta.pk.attname

    def values(row: Columns | None) -> RowValues | None:
        if row is None:
            return None
        return RowValues({field.attname: field.to_python(row[field.column]) for field in fields})

    changes = []
    try:
        for old, new in rows if policy.has_rules else ():
            before, after = values(old), values(new)
            changes.append(
                Change(
                    model=policy.model,
                    pk=getattr(after or before, pk),
                    before=before,
                    after=after,
                    using=using,
                    source=source,
                )
            )
    except (KeyError, AttributeError, ValidationError, ValueError, TypeError):
        return []
    return changes


def _alone(
    policy: ResolvedPolicy, rows: Sequence[tuple[Values | None, Values | None]]
) -> str | None:
    """The primary key of the one row that was written, for people."""
    pk = policy.model._meta.pk.attname
    found = {
        str(values[pk]) for row in rows for values in row if values is not None and pk in values
    }
    return found.pop() if len(found) == 1 else None


def _everything(source: str, connection: BaseDatabaseWrapper) -> InvalidationEvent:
    labels = sorted({model._meta.label_lower for model in site.tracked().values()})
    tags = {tag.ALL_NAMED}.union(*(model_tags(name, database_id(connection)) for name in labels))
    return InvalidationEvent(
        labels=tuple(labels),
        tags=tuple(sorted(tags)),
        source=source,
        using=connection.alias,
        coarse=True,
    )
