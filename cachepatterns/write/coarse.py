"""The coarse layer: any statement that writes a watched table, by whatever way it came.

It sees the text of every statement that goes through Django's cursors, so plain managers,
admin actions, through tables, `loaddata`, migrations and raw SQL are all seen.
"""

from __future__ import annotations

import sys
from collections import deque
from functools import lru_cache
from types import FrameType

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core.sqltext import Statement
from cachepatterns.observe import InvalidationEvent
from cachepatterns.registry import concrete_model, site, table_name
from cachepatterns.transactions import database_id
from cachepatterns.write.changes import model_tags, rule_tags, unknown_change

WRITERS = {
    ("django.db.models.base", "save_base"): "save",
    ("django.db.models.query", "bulk_create"): "bulk",
    ("django.db.models.query", "bulk_update"): "bulk",
    ("django.db.models.query", "update"): "update",
    ("cachepatterns.queryset", "update"): "update",
    ("django.db.models.deletion", "delete"): "delete",
    ("django.db.models.fields.related_descriptors", "_add_items"): "m2m",
    ("django.db.models.fields.related_descriptors", "_remove_items"): "m2m",
    ("django.db.models.fields.related_descriptors", "clear"): "m2m",
    ("django.db.migrations.executor", "apply_migration"): "migration",
}
"""The functions, Django's and ours, in which a write begins, and what it is called: where one
calls another, by that which the user has called."""


_NOT_THE_USERS = (
    *("cachepatterns.", "django.", "psycopg.", "contextlib", "functools"),
    *("asgiref.", "asyncio.", "concurrent.futures.", "threading", "contextvars"),
)
"""Modules in which no call site is looked for; async writes run in a thread of asgiref's."""


_WRITE_NAMES = frozenset(function for _, function in WRITERS)


@lru_cache(maxsize=1024)
def _is_not_the_users(module: str) -> bool:
    return module.startswith(_NOT_THE_USERS)


def coarse_event(
    connection: BaseDatabaseWrapper, statement: Statement | None
) -> InvalidationEvent | None:
    """What `statement` may have written, as the bump of the model tags of all its models.

    ``None`` stands for a statement that may write anywhere. Nothing comes of one that
    writes no watched table.
    """
    written = set(_written(statement))
    if not written:
        return None
    source, site_of_call = origin()
    database, tags = database_id(connection), set[str]()
    for model in written:
        tags |= model_tags(model._meta.label_lower, database)
        policy = site.policy_for(model)
        if policy is not None:
            change = unknown_change(model, connection.alias, source)
            tags |= rule_tags(policy, [change])
    return InvalidationEvent(
        labels=tuple(sorted(model._meta.label_lower for model in written)),
        tags=tuple(sorted(tags)),
        source=source,
        using=connection.alias,
        # Of a table without a policy no entry rests on less than the whole.
        coarse=any(site.policy_for(model) is not None for model in written),
        site=site_of_call,
    )


def _written(statement: Statement | None) -> list[type[models.Model]]:
    tracked = site.tracked()
    if statement is None:
        return list(tracked.values())
    found = [tracked[name] for name in written_tables(statement) if name in tracked]
    if statement.verb == "REFRESH":
        return found
    # What is written through a view is written to the tables it reads.
    return [*found, *(source for model in found for source in site.depends_on(model))]


def written_tables(statement: Statement) -> frozenset[str]:
    """The tables `statement` names, and those whose rows the database changes with theirs."""
    if statement.verb in {"INSERT", "UPDATE"}:
        return statement.names
    # TRUNCATE … CASCADE empties whatever refers to the table, by whatever rule.
    truncates = "cascade" in statement.names and "truncate" in statement.names
    return statement.names.union(*(reached_from(name, truncates) for name in statement.names))


def reached_from(table: str, truncates: bool = False) -> frozenset[str]:
    """The tables whose rows the database itself changes when rows of `table` are deleted."""
    return _reached(table, truncates, tuple(site.tables()))


@lru_cache(maxsize=1024)
def _reached(table: str, truncates: bool, known: tuple[str, ...]) -> frozenset[str]:
    tables, found, queue = site.tables(), set[str](), deque([table])
    while queue:
        model = tables.get(queue.popleft())
        if model is None:
            continue
        for relation in model._meta.get_fields(include_hidden=True):
            if not relation.auto_created or relation.concrete or relation.many_to_many:
                continue
            name = table_name(concrete_model(relation.related_model))  # type: ignore[arg-type]
            by_database = truncates or _done_by_database(getattr(relation, "on_delete", None))
            if by_database and name not in found:
                found.add(name)
                queue.append(name)
    return frozenset(found)


def _done_by_database(on_delete: object) -> bool:
    """Whether a relation's rule is the database's work (``DB_CASCADE`` and its kin)."""
    return type(on_delete).__name__ == "DatabaseOnDelete"


def origin() -> tuple[str, str]:
    """How the write came about, and ``module:line`` of the user's code that made it.

    Read off the stack. Of coarse writes it says in the admin which call makes them.
    """
    source = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if function in _WRITE_NAMES:
            source = WRITERS.get((name, function), source)
        if not _is_not_the_users(name):
            return source or "raw SQL", f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return source or "raw SQL", ""
