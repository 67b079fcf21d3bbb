"""A batch of increments, written: one UPDATE for all of its rows.

What can not be added (a field that is declared no more, a value that outgrows its column) is
refused row by row, reported and lost: one impossible row must not keep all others waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.policy import ResolvedPolicy
from cachepatterns.write.accounting import accounted
from cachepatterns.write.telling import Telling, told_columns

SOURCE = "counters"
CHUNK = 200
"""Rows in a statement where the database knows no ``FROM (VALUES …)``."""
IMPOSSIBLE = (DataError, IntegrityError)
NO_ROW, NO_FIELD, REFUSED = "no such row", "no such counter", "refused by the database"

Amounts = dict[Any, dict[str, int]]
"""What is added to the fields of each row, by primary key."""


@dataclass(kw_only=True, slots=True)
class Written:
    """How many rows were written, and how many increments came to nothing, by reason."""

    rows: int = 0
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, reason: str, count: int = 1) -> None:
        if count:
            self.lost[reason] = self.lost.get(reason, 0) + count


def write_counts(
    connection: BaseDatabaseWrapper,
    policy: ResolvedPolicy,
    counts: Mapping[str, int],
    *,
    each: bool,
) -> Written:
    """Write a batch, in the transaction that the caller has begun. With `each` one row after the
    other, which finds the impossible one; without, that raises one of `IMPOSSIBLE`."""
    done = Written()
    amounts = _by_row(policy, counts, done)
    if not each:
        _write(connection, policy, amounts, done)
        return done
    for key, row in amounts.items():
        try:
            with transaction.atomic(using=connection.alias):
                _write(connection, policy, {key: row}, done)
        except IMPOSSIBLE:
            done.lose(REFUSED, _sum(row))
    return done


def _by_row(policy: ResolvedPolicy, counts: Mapping[str, int], done: Written) -> Amounts:
    meta: Any = policy.model._meta
    known = {f.name for f in meta.local_concrete_fields} & set(policy.policy.counters)
    found: Amounts = {}
    for told, amount in counts.items():
        name, _, spelled = told.partition(":")
        try:
            key = meta.pk.to_python(spelled)
        except ValidationError:
            name = ""
        if name not in known:
            done.lose(NO_FIELD, abs(amount))
        elif amount:
            found.setdefault(key, {})[name] = amount
    # In one order, so that two flushers do not wait for each other.
    return dict(sorted(found.items(), key=lambda each: str(each[0]).rjust(40)))


def _write(
    connection: BaseDatabaseWrapper, policy: ResolvedPolicy, amounts: Amounts, done: Written
) -> None:
    if not amounts:
        return
    update = _update if connection.vendor == "postgresql" else _update_by_case
    # A statement that writes nothing but what is ignored says so itself.
    is_ignored = policy.ignored.issuperset(_columns(policy, amounts).values())
    with contextlib.nullcontext() if is_ignored else accounted():
        rows = update(connection, policy, amounts)
    done.rows += len(rows)
    for key in amounts.keys() - {key for key, _ in rows}:
        done.lose(NO_ROW, _sum(amounts[key]))
    if is_ignored:
        return
    telling = Telling(connection, policy, source=SOURCE)
    told = [f.name for f in telling.fields]
    telling.rows([(_before(told, row, amounts[key]), row) for key, row in rows])


def _sum(row: Mapping[str, int]) -> int:
    return sum(map(abs, row.values()))


def _before(names: Sequence[str], row: Sequence[Any], amounts: Mapping[str, int]) -> list[Any]:
    return [
        value - amounts[name] if name in amounts and value is not None else value
        for name, value in zip(names, row, strict=True)
    ]


def _columns(policy: ResolvedPolicy, amounts: Amounts) -> dict[str, str]:
    """The columns that are written, by the names of their fields."""
    names = {name for row in amounts.values() for name in row}
    meta: Any = policy.model._meta
    return {f.name: f.column for f in meta.local_concrete_fields if f.name in names}


def _update(
    connection: BaseDatabaseWrapper, policy: ResolvedPolicy, amounts: Amounts
) -> list[tuple[Any, Sequence[Any]]]:
    """All rows by one statement; returns the keys of those there are, and their told columns."""
    quote, meta = connection.ops.quote_name, policy.model._meta
    pk: Any = meta.pk
    table, columns = quote(meta.db_table), _columns(policy, amounts)
    types = [pk.rel_db_type(connection), *("bigint" for _ in columns)]
    first = ", ".join(f"%s::{kind}" for kind in types)
    more = ", ".join("%s" for _ in types)
    values = ", ".join([f"({first})", *(f"({more})" for _ in range(len(amounts) - 1))])
    assigned = ", ".join(
        f"{quote(column)} = COALESCE({table}.{quote(column)}, 0) + v.c{number}"
        for number, column in enumerate(columns.values())
    )
    told = told_columns(connection, Telling(connection, policy, source=SOURCE).fields)
    named = ", ".join("c" + str(number) for number in range(len(columns)))
    returned = ", ".join(f"{table}.{name}" for name in [quote(pk.column), *told])
    params: list[Any] = []
    for key, row in amounts.items():
        params.append(pk.get_db_prep_value(key, connection, prepared=False))
        params += [row.get(name, 0) for name in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {assigned} FROM (VALUES {values}) AS v (k, {named}) "
            f"WHERE {table}.{quote(pk.column)} = v.k RETURNING {returned}",
            params,
        )
        return [(_key(policy, connection, row[0]), row[1:]) for row in cursor.fetchall()]


def _update_by_case(
    connection: BaseDatabaseWrapper, policy: ResolvedPolicy, amounts: Amounts
) -> list[tuple[Any, Sequence[Any]]]:
    found: list[tuple[Any, Sequence[Any]]] = []
    quote, meta = connection.ops.quote_name, policy.model._meta
    pk: Any = meta.pk
    told = told_columns(connection, Telling(connection, policy, source=SOURCE).fields)
    for part in _parts(amounts, CHUNK):
        columns, key_column = _columns(policy, part), quote(pk.column)
        keys = {key: pk.get_db_prep_value(key, connection, prepared=False) for key in part}
        params: list[Any] = []
        assigned = []
        for name, column in columns.items():
            cases = " ".join("WHEN %s THEN %s" for _ in part)
            assigned.append(
                f"{quote(column)} = COALESCE({quote(column)}, 0) + "
                f"CASE {key_column} {cases} ELSE 0 END"
            )
            for key, row in part.items():
                params += [keys[key], row.get(name, 0)]
        chosen = f"WHERE {key_column} IN ({', '.join('%s' for _ in part)})"
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {quote(meta.db_table)} SET {', '.join(assigned)} {chosen}",
                [*params, *keys.values()],
            )
            cursor.execute(
                f"SELECT {', '.join([key_column, *told])} FROM {quote(meta.db_table)} {chosen}",
                [*keys.values()],
            )
            found += [(_key(policy, connection, row[0]), row[1:]) for row in cursor.fetchall()]
    return found


def _key(policy: ResolvedPolicy, connection: BaseDatabaseWrapper, value: Any) -> Any:
    """A primary key as the database has given it, as we know it."""
    return policy.model._meta.pk.to_python(value)


def _parts(amounts: Amounts, size: int) -> Iterator[Amounts]:
    items = iter(amounts.items())
    while part := dict(islice(items, size)):
        yield part
