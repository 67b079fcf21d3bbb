"""Values as Django's fields prepare them for an UPDATE, without a walk through their methods.

`get_db_prep_save` of a decimal is eight calls that give back what they were given. Of Django's own
fields it is known what they do with a value of one very type, on a backend whose operations are
Django's own; whatever else comes, they are asked.

What is sent is the same, to the type: `tests/differential/test_one_row.py`.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.policy import AUTO_FIELDS, INTEGER_FIELDS, TEXT_FIELDS

Prepare = Callable[[Any], Any]

_AS_GIVEN: dict[type, type] = {
    **dict.fromkeys(TEXT_FIELDS, str),
    **dict.fromkeys(AUTO_FIELDS, int),
    models.BooleanField: bool,
    models.FloatField: float,
    models.DateField: datetime.date,
}
"""Of these fields a value of that very type is sent as it is."""


def prepare_of(field: Any, connection: BaseDatabaseWrapper) -> Prepare:
    """``field.get_db_prep_save`` on that connection."""
    return partial(field.get_db_prep_save, connection=connection)


def ways_of(field: Any, connection: BaseDatabaseWrapper) -> Mapping[type, Prepare | None]:
    """How a value is prepared, by its very type: `None` where it is sent as it is; of all other
    types `prepare_of` knows."""
    kind = type(field)
    ways: dict[type, Prepare | None] = {}
    if kind in {models.ForeignKey, models.OneToOneField}:
        # It asks the field that it refers to, if there is a value.
        return {**ways_of(field.target_field, connection), type(None): None}
    if kind in _AS_GIVEN and _is_stock(connection):
        ways = {_AS_GIVEN[kind]: None}
    elif kind in INTEGER_FIELDS and _is_stock(connection):
        ops: Any = connection.ops
        ways = {int: ops.integerfield_type_map[field.get_internal_type()]}
    elif kind is models.DecimalField and _is_stock(connection):
        ways = {decimal.Decimal: partial(_decimal, prepare_of(field, connection))}
    elif kind is models.DateTimeField and _is_stock(connection):
        ways = {datetime.datetime: partial(_moment, prepare_of(field, connection))}
    elif kind is models.UUIDField and connection.features.has_native_uuid_field:
        ways = {uuid.UUID: None}
    return {**ways, type(None): None} if ways and kind not in AUTO_FIELDS else ways


def _decimal(prepare: Prepare, value: decimal.Decimal) -> Any:
    return value if value.is_finite() else prepare(value)


def _moment(prepare: Prepare, value: datetime.datetime) -> Any:
    # What Django makes of a naive one depends on the settings.
    return prepare(value) if value.utcoffset() is None else value


def _is_stock(connection: BaseDatabaseWrapper) -> bool:
    """Whether the backend's operations leave values as psycopg takes them: Django's own do."""
    from django.db.backends.postgresql.operations import DatabaseOperations

    ops = type(connection.ops)
    return hasattr(ops, "integerfield_type_map") and all(
        getattr(ops, name) is getattr(DatabaseOperations, name)
        for name in (
            "integerfield_type_map",
            "adapt_integerfield_value",
            "adapt_decimalfield_value",
            "adapt_datefield_value",
            "adapt_datetimefield_value",
            "validate_autopk_value",
        )
    )
