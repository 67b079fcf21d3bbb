"""Rows that are appended behind: spelled for the buffer, and inserted batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import DatabaseDefault

from cachepatterns.policy import ResolvedPolicy
from cachepatterns.write.counts import Written

MALFORMED = "malformed"

_decode = msgspec.json.Decoder(dict[str, Any]).decode

Park = Callable[[bytes, str], None]
"""Keeps an event that can not be inserted, and why."""


def made(policy: ResolvedPolicy, fields: Mapping[str, Any]) -> models.Model:
    """The row of an event as it happens now: times that Django sets are those of this moment.

    Raises `TypeError` for what is no field, as the model does.
    """
    row = policy.model(**fields)
    for field in _fields(policy):
        field.pre_save(row, add=True)
    return row


def spelled(policy: ResolvedPolicy, row: models.Model) -> bytes:
    """All of it as JSON, by the fields' own way of saying it; what the database will set is left
    out."""
    told: dict[str, Any] = {}
    for field in _fields(policy):
        value = getattr(row, field.attname)
        if not isinstance(value, DatabaseDefault):
            told[field.attname] = None if value is None else field.value_to_string(row)
    return msgspec.json.encode(told)


def insert_events(
    connection: BaseDatabaseWrapper,
    policy: ResolvedPolicy,
    events: Sequence[bytes],
    *,
    each: bool,
    park: Park,
) -> Written:
    """Insert a batch, in the transaction that the caller has begun. With `each` one row after the
    other, and what the database does not take is parked; without, that raises."""
    done = Written()
    rows: list[tuple[bytes, models.Model]] = []
    wrong: list[tuple[bytes, str]] = []
    for event in events:
        try:
            rows.append((event, _row(policy, event)))
        except (msgspec.MsgspecError, ValidationError, ValueError, TypeError, KeyError) as error:
            wrong.append((event, f"{type(error).__name__}: {error}"))
    insert = policy.model._base_manager.using(connection.alias).bulk_create
    if not each:
        insert([row for _, row in rows])
        done.rows, rows = len(rows), []
    for event, row in rows:
        try:
            with transaction.atomic(using=connection.alias):
                insert([row])
                connection.check_constraints()  # those too that wait for the COMMIT
        except (DatabaseError, ValueError, TypeError) as error:
            wrong.append((event, f"{type(error).__name__}: {error}"))
        else:
            done.rows += 1
    for event, why in wrong:
        park(event, why)
    done.lose(MALFORMED, len(wrong))
    return done


def _row(policy: ResolvedPolicy, event: bytes) -> models.Model:
    told = _decode(event)
    known: dict[str, Any] = {field.attname: field for field in _fields(policy)}
    return policy.model(
        **{
            name: None if value is None else known[name].to_python(value)
            for name, value in told.items()
        }
    )


def _fields(policy: ResolvedPolicy) -> list[Any]:
    meta: Any = policy.model._meta
    return [
        field
        for field in meta.local_concrete_fields
        if not field.primary_key and not getattr(field, "generated", False)
    ]
