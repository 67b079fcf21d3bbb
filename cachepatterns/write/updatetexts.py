"""Texts of UPDATEs of one row by its primary key, kept where they can not differ.

A text is kept where it is proven to be the one that Django compiles, for the very fields, and for
the types of their values, of which some are ``NULL``: the compiler is Django's own, each field
stands there as ``column = %s``, and the condition has one parameter, the primary key's. Whatever
else comes (a field that spells its own placeholder, a value that says how it is to be written)
Django compiles as ever.

What is sent is the same, to the letter: `tests/differential/test_one_row.py`.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import sql
from django.db.models.sql.compiler import SQLUpdateCompiler

from cachepatterns.conf import config
from cachepatterns.core.key import row_key
from cachepatterns.core.sqltext import statement
from cachepatterns.narrowing import as_stored
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import database_id, place_of, source_id
from cachepatterns.write.ahead import RegisteringMixin
from cachepatterns.write.appending import tells_old_of, told_text
from cachepatterns.write.changes import tells_its_table
from cachepatterns.write.concerns import Lists
from cachepatterns.write.preparing import Prepare, prepare_of, ways_of

MAX_TEXTS = 256
"""Texts that a connection keeps; then it learns anew."""

_TEXTS = "_cachepatterns_updates"
"""The attribute of a connection that holds its texts."""
_ASKED: Any = object()
PLAIN = frozenset(
    {int, str, float, bool, bytes, type(None), decimal.Decimal, uuid.UUID}
    | {datetime.date, datetime.datetime, datetime.time, datetime.timedelta}
)
"""Values in which Django looks for nothing but themselves."""
BOTH = ("old", "new")
"""The sides that the texts tell."""

_SETS_WHAT_IS_GIVEN = """
    SELECT relkind = 'r' AND NOT relhassubclass AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = pg_class.oid AND tgenabled <> 'D' AND tgtype & 19 = 19
    )
    FROM pg_class WHERE oid = %s::regclass
"""
"""A table without partitions and heirs, and without a trigger for each row (1) before (2) an
UPDATE (16), which may give it other values."""


def kept(
    connection: BaseDatabaseWrapper,
    policy: ResolvedPolicy,
    key: Any,
    make: Callable[[], Text | None],
) -> Text | None:
    """The text, made when it is wanted for the second time: most are wanted once."""
    texts: dict[Any, Any] = connection.__dict__.setdefault(_TEXTS, {})
    under = config(), site.generation, place_of(connection)
    made_for, made_under, text = texts.get(key, (None, None, None))
    is_known = made_for is policy and made_under == under
    if is_known and text is not _ASKED:
        return text
    if len(texts) >= MAX_TEXTS:
        texts.clear()
    text = make() if is_known else _ASKED
    texts[key] = policy, under, text
    return None if text is _ASKED else text


def are_values(given: Sequence[Any]) -> bool:
    """Whether Django looks for nothing more in them."""
    return not any(
        hasattr(value, "resolve_expression") or hasattr(value, "prepare_database_save")
        for value in given
        if type(value) not in PLAIN
    )


class Text:
    """The UPDATE that sets these fields of one row to values of these types on one connection,
    told and untold."""

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        policy: ResolvedPolicy,
        fields: Sequence[Any],
        sql: str,
        types: Sequence[type],
    ) -> None:
        self.connection, self.policy, self.sql = connection, policy, sql
        self.database = database_id(connection)
        self.told = told_text(policy, connection, sql, *BOTH)
        self.attnames = [field.attname for field in fields]
        self.is_plain = PLAIN.issuperset(types)
        self._prepare = list(_preparing(fields, types, connection))
        self.least, self.most = _bounds(policy, connection)
        self.lists = Lists(policy, self.database, self.attnames, types)
        self.entry = row_key(
            config().PREFIX, policy.label, policy.fingerprint, source_id(connection), ""
        )
        """The key of a row's entry, but for its primary key."""
        self._leaves_null_out = sql.count("%s") < len(fields) + 1
        """Whether a `NULL` is part of the text, or a parameter, as since Django 6.1."""

    @cached_property
    def sets_what_is_given(self) -> bool:
        """Whether what tells the row's lists will be just the values given: they are sent as they
        are, and no trigger gives it others. Asked of the database once, in autocommit."""
        told = [field for field in self.policy.told if not field.primary_key]
        if not all(ways_of(field, self.connection) for field in told):
            return False
        self.connection.ensure_connection()  # it may have been closed since it was last used
        driver: Any = self.connection.connection
        table = self.connection.ops.quote_name(self.policy.model._meta.db_table)
        return bool(driver.execute(_SETS_WHAT_IS_GIVEN, [table]).fetchone()[0])

    def parameters(self, pk: Any, given: Sequence[Any]) -> tuple[Any, ...] | None:
        """What Django would send for these values; `None` where only Django knows."""
        sent = list(given)
        for place, prepare in self._prepare:
            before, value = sent[place], prepare(sent[place])
            if (value is None) is not (before is None):
                return None  # another text
            if type(value) not in PLAIN and hasattr(value, "as_sql"):
                return None
            sent[place] = value
        if self._leaves_null_out:
            sent = [value for value in sent if value is not None]
        sent.append(_as_asked(self.policy, pk, self.connection))
        return tuple(sent)


def _preparing(
    fields: Sequence[Any], types: Sequence[type], connection: BaseDatabaseWrapper
) -> Iterator[tuple[int, Prepare]]:
    """Where a value of its type is not sent as it is, and what is sent instead."""
    for place, (field, kind) in enumerate(zip(fields, types, strict=True)):
        way = ways_of(field, connection).get(kind, prepare_of(field, connection))
        if way is not None:
            yield place, way


def _bounds(policy: ResolvedPolicy, connection: BaseDatabaseWrapper) -> Any:
    """The least and the greatest of the primary keys, where they are integers."""
    if policy.pk is None or policy.pk.kind != "integer":
        return None, None
    return connection.ops.integer_field_range(policy.pk.field.get_internal_type())


def _as_asked(policy: ResolvedPolicy, pk: Any, connection: BaseDatabaseWrapper) -> Any:
    """The primary key's parameter in the condition."""
    assert policy.pk is not None
    return as_stored(policy.pk, pk, connection)


def proven(
    connection: BaseDatabaseWrapper,
    policy: ResolvedPolicy,
    pk: Any,
    given: Sequence[Any],
    make: Callable[[], Any],
) -> Text | None:
    """The text of what Django compiles of the query that is made, if of all others like it too."""
    if not are_values(given):
        return None
    try:
        query = make()
    except Exception:  # Django makes it once more, and refuses it before it marks a transaction
        return None
    compiler = query.get_compiler(connection.alias)
    if not _is_stock(compiler, policy):
        return None
    fields = [field for field, _, _ in query.values]
    if len(fields) != len(given) or not all(_is_plain(field, policy) for field in fields):
        return None
    try:
        sent, parameters = compiler.as_sql()
        where, asked = compiler.compile(query.where)
    except Exception:  # Django compiles it once more, and raises what there is to raise
        return None
    if sent not in _spelled(connection, policy, fields, given, where) or where.count("%") != 1:
        return None
    text = Text(connection, policy, fields, sent, tuple(map(type, given)))
    same = text.parameters(pk, given)
    if same is None or len(same) != len(parameters) or _differ(same[-1:], asked):
        return None
    found = statement(sent)
    tells = found.verb == "UPDATE" and found.target == table_name(policy.model)
    return text if tells else None


def _is_stock(compiler: Any, policy: ResolvedPolicy) -> bool:
    """Whether an UPDATE of the policy's rows is Django's own work, and one that tells them."""
    query = compiler.query
    return (
        type(compiler).__bases__ == (RegisteringMixin, SQLUpdateCompiler)
        and type(query) is sql.UpdateQuery
        and not query.get_related_updates()
        and not policy.policy.ignores
        and policy.pk is not None
        and not policy.pk.field.is_relation
        and site.tracked().get(table_name(policy.model)) is policy.model
        and tells_its_table(policy.model)
        and tells_old_of(compiler.connection, policy)
    )


def _is_plain(field: Any, policy: ResolvedPolicy) -> bool:
    """Whether a field stands in an UPDATE as ``column = %s``, whatever its value."""
    return (
        field in policy.model._meta.local_concrete_fields
        and not field.primary_key
        and not getattr(field, "generated", False)
        and not hasattr(field, "get_placeholder")
        and not hasattr(field, "get_placeholder_sql")  # Django 6.1
        and "%" not in field.column
    )


def _spelled(
    connection: BaseDatabaseWrapper,
    policy: ResolvedPolicy,
    fields: Sequence[Any],
    given: Sequence[Any],
    where: str,
) -> Iterator[str]:
    """The text, with a `NULL` spelled out, and as a parameter."""
    quote = connection.ops.quote_name
    table = quote(policy.model._meta.db_table)
    for null in ("NULL", "%s"):
        pairs = zip(fields, given, strict=True)
        set_to = [f"{quote(f.column)} = {null if value is None else '%s'}" for f, value in pairs]
        yield f"UPDATE {table} SET {', '.join(set_to)} WHERE {where}"


def _differ(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return [(type(each), each) for each in some] != [(type(each), each) for each in others]
