"""Inserts: new rows concern the lists they now belong to, and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections, models

from cachepatterns.core.change import Change, RowValues
from cachepatterns.observe import InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import announced, database_id
from cachepatterns.write.changes import (
    closing_tags,
    model_tags,
    row_tags,
    rule_tags,
    tells_its_table,
    unknown_change,
)
from cachepatterns.write.dispatch import record, statement_fence
from cachepatterns.write.fence import Fence


def tracked_insert(
    model: type[models.Model],
    objs: Sequence[models.Model],
    using: str,
    returning_fields: Sequence[Any] | None,
    insert: Callable[[], Any],
    source: str,
) -> Any:
    """Run `insert` for `objs`, and record the rows that it made.

    Not for upserts: their old values are not known, so they are left to the coarse layer.
    """
    policy = site.policy_for(model)
    connection = connections[using]
    if policy is None or policy.model is not model or not tells_its_table(model):
        return insert()
    database = database_id(connection)
    with statement_fence(connection, closing_tags(policy, database)) as fence:
        with announced(connection, "INSERT", table_name(model)):
            returned = insert()
        _account(policy, objs, using, returning_fields, returned, source, fence)
    return returned


def _account(
    policy: ResolvedPolicy,
    objs: Sequence[models.Model],
    using: str,
    returning_fields: Sequence[Any] | None,
    returned: Any,
    source: str,
    fence: Fence | None,
) -> None:
    connection = connections[using]
    database = database_id(connection)
    rows = _rows(policy, objs, returning_fields, returned, connection)
    if rows is None:
        tags = model_tags(policy.label, database)
        changes = [unknown_change(policy.model, using, source)]
    else:
        tags = row_tags(policy, database, ((None, row) for row in rows))
        changes = _changes(policy, objs, rows, using, source) if policy.has_rules else []
    tags |= rule_tags(policy, changes)
    pk = policy.model._meta.pk.attname
    alone = str(rows[0][pk]) if rows is not None and len(rows) == 1 and pk in rows[0] else None
    record(
        connection,
        InvalidationEvent(
            labels=(policy.label,),
            tags=tuple(sorted(tags)),
            source=source,
            using=using,
            object_pk=alone,
            object_label=policy.label if alone is not None else None,
        ),
        fence,
    )


def _rows(
    policy: ResolvedPolicy,
    objs: Sequence[models.Model],
    returning_fields: Sequence[Any] | None,
    returned: Any,
    connection: Any,
) -> list[dict[str, Any]] | None:
    """What was stored in the narrowed columns, or `None` if the database made it up."""
    told = {field.attname: i for i, field in enumerate(returning_fields or ())}
    returned = list(returned or ())
    rows = []
    for position, obj in enumerate(objs):
        row = {}
        for narrowing in policy.narrowing:
            value = getattr(obj, narrowing.attname)
            if narrowing.attname in told and position < len(returned):
                value = returned[position][told[narrowing.attname]]
            elif value is None and narrowing.field.primary_key:
                return None
            if hasattr(value, "resolve_expression"):
                return None
            row[narrowing.attname] = narrowing.field.get_db_prep_save(value, connection)
        rows.append(row)
    return rows


def _changes(
    policy: ResolvedPolicy,
    objs: Sequence[models.Model],
    rows: Sequence[dict[str, Any]],
    using: str,
    source: str,
) -> list[Change]:
    fields = policy.model._meta.local_concrete_fields
    return [
        Change(
            model=policy.model,
            pk=row.get(policy.model._meta.pk.attname),
            before=None,
            after=RowValues({f.attname: getattr(obj, f.attname) for f in fields} | row),
            using=using,
            source=source,
        )
        for obj, row in zip(objs, rows, strict=True)
    ]
