"""Events of the outbox, read: from a payload to the tags it concerns.

What Django wrote holds its tags; what triggers wrote holds rows, whose tags are worked out here
by the functions that Django's own writes use (`write.changes`), and so is what other services
have put in. What can not be understood bumps everything: fewer hits, but nothing stale; and it is
told why, so that whoever wrote it can be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.backends.base.base import BaseDatabaseWrapper
from msgspec import structs

from cachepatterns.core import tag
from cachepatterns.core.change import Change, RowValues
from cachepatterns.observe import BurstLog, InvalidationEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import concrete_model, site, table_name
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


class Malformed(ValueError):
    """A payload that no relay can make sense of; the message is for whoever has written it."""


def told(
    payload: str, source: str, connection: BaseDatabaseWrapper
) -> tuple[InvalidationEvent | None, str]:
    """What a recorded event invalidates, `None` if nothing (any more); and what is wrong with
    it, if it could not be understood."""
    try:
        # Exactly: what rules compare must not have gone through a float.
        found = json.loads(payload, parse_float=Decimal)
        if not isinstance(found, dict):
            raise Malformed(f"The payload is no object, but {found!r}.")
        return _understood(found, source, connection), ""
    except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
        why = str(error) if isinstance(error, Malformed) else f"{type(error).__name__}: {error}"
        log.log(
            "An event of the outbox is not understood; everything is bumped. %s %r", why, payload
        )
        return _everything(source or "outbox", connection), why


def _understood(
    found: Mapping[str, Any], source: str, connection: BaseDatabaseWrapper
) -> InvalidationEvent | None:
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
    if "table" in found:
        source = source or f"database {str(found.get('op') or 'trigger').lower()}"
        return _told_by_table(str(found["table"]), _pairs(found["rows"]), source, connection)
    if not found.keys() & {"model", "named"}:
        raise Malformed('It has neither "model", "table", "tags" nor "named".')
    event, source = None, source or "another service"
    if "model" in found:
        table = _table_of(found["model"])
        event = _told_by_table(table, _pairs(found.get("rows")), source, connection)
    named = _named(found.get("named", ()))
    if not named:
        return event
    labels = {tag.label_of(name) for name in named}
    if event is None:
        return InvalidationEvent(tuple(sorted(labels)), tuple(sorted(named)), source)
    return structs.replace(
        event,
        labels=tuple(sorted(labels.union(event.labels))),
        tags=tuple(sorted(named.union(event.tags))),
    )


def _table_of(label: object) -> str:
    try:
        return table_name(concrete_model(apps.get_model(str(label))))
    except (LookupError, ValueError):
        raise Malformed(f'There is no model {label!r}; "model" is "app.model".') from None


def _pairs(rows: object) -> Rows | None:
    if rows is None:
        return None
    try:
        pairs = [(row["old"], row["new"]) for row in rows]  # type: ignore[attr-defined]
    except (TypeError, KeyError):
        pairs = [("", "")]
    if not all(side is None or isinstance(side, dict) for pair in pairs for side in pair):
        raise Malformed(
            '"rows" is null or a list of {"old": …, "new": …}, each an object of columns or null.'
        )
    return pairs


def _named(names: object) -> set[str]:
    """Named tags, each given as what `cachepatterns.tag` takes."""
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, list) and name and isinstance(name[0], str) for name in names
    ):
        raise Malformed('"named" is a list of tags, each a list: ["catalog", 5].')
    return {tag.tag(*name) for name in names}


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
