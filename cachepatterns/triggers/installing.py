"""Installing, removing and comparing: what is to be there with what is."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.exceptions import CachePatternsError
from cachepatterns.models import InvalidationEvent
from cachepatterns.observe import BurstLog
from cachepatterns.registry import site, table_name
from cachepatterns.triggers.catalog import (
    TABLES,
    Catalog,
    Relation,
    read_catalog,
    read_functions,
)
from cachepatterns.triggers.definitions import (
    TRANSITIONS,
    body,
    create_function,
    create_trigger,
    function_name,
    quote,
    trigger_name,
)

LOCK_TIMEOUT = "5s"
"""How long a table's writers may keep us waiting, and we those that come after them."""

log = BurstLog()


class State(enum.StrEnum):
    """How a table stands."""

    INSTALLED = "installed"
    MISSING = "missing"
    OUTDATED = "outdated"
    ORPHANED = "orphaned"
    """Of a table that is not watched any more."""
    IMPOSSIBLE = "impossible"
    """No table (a view, a foreign table), so nothing fires there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableStatus:
    """One watched table. ``label`` is its model, empty for an orphan; ``statements`` would
    mend it."""

    label: str
    table: str
    state: State
    problems: tuple[str, ...] = ()
    statements: tuple[str, ...] = field(default=(), repr=False)


def status(using: str, labels: Sequence[str] = ()) -> list[TableStatus]:
    """How each watched table that exists in the database stands; orphans last.

    `labels` (``shop``, ``shop.product``) choose; without any, it is all of them. Raises
    `CachePatternsError` where there can be no triggers, `DatabaseError`.
    """
    connection = connections[using]
    _require(connection)
    wanted = _wanted(labels)
    asked = {label: _spelled(connection, model) for label, model in wanted.items()}
    outbox_name = _spelled(connection, InvalidationEvent)
    catalog = read_catalog(connection, [*asked.values(), outbox_name])
    outbox = catalog.relations.get(outbox_name)
    if outbox is None:
        raise CachePatternsError(
            f"The database {using!r} has no table {outbox_name}, into which triggers would "
            f"write. Run `manage.py migrate cachepatterns --database={using}` first."
        )
    found = [
        _compare(catalog, wanted[label], catalog.relations[name], outbox)
        for label, name in asked.items()
        if name in catalog.relations and not _is_fed(wanted[label], catalog.relations[name])
    ]
    return found if labels else [*found, *_orphans(catalog, asked.values(), outbox)]


def install(using: str, labels: Sequence[str] = ()) -> list[TableStatus]:
    """Mend what is missing or outdated, in one transaction; returns what there was to mend.

    What was written before the triggers stood was seen by nobody, so everything cached is
    invalidated: the execute wrapper takes the statements for writes to any table.
    """
    with transaction.atomic(using=using):
        found = [table for table in status(using, labels) if table.statements]
        _execute(connections[using], [sql for table in found for sql in table.statements])
    return found


def remove(using: str, labels: Sequence[str] = ()) -> list[str]:
    """Drop our functions, and with them their triggers; returns the functions' names."""
    connection = connections[using]
    _require(connection)
    with transaction.atomic(using=using), connection.cursor() as cursor:
        known = list(read_functions(cursor))
        if labels:
            wanted = _wanted(labels)
            catalog = read_catalog(
                connection, [_spelled(connection, model) for model in wanted.values()]
            )
            names = {function_name(r.schema, r.name) for r in catalog.relations.values()}
            known = [(schema, name) for schema, name in known if name in names]
        _execute(connection, _drops(known))
    return [f"{schema}.{name}" for schema, name in sorted(known)]


def is_installed(using: str) -> bool:
    """Whether any trigger of ours is there."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        return bool(read_functions(cursor))


def covered_tables(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """The watched tables whose writes our triggers tell, lower case. Raises `DatabaseError`."""
    if not is_installed(connection.alias):
        return frozenset()
    return frozenset(
        table.table.rpartition(".")[2].lower()
        for table in status(connection.alias)
        if table.state is State.INSTALLED
    )


def keep_up(*, using: str, **kwargs: object) -> None:
    """Receiver of ``post_migrate``: where there are triggers, what is new gets its own."""
    if "plan" not in kwargs or not is_installed(using):
        return  # a flush, or nothing to keep up
    try:
        install(using)
    except Exception as error:  # the migration has succeeded
        log.log("`manage.py cache_triggers install` is due, and failed: %s", error)


# -- comparing ------------------------------------------------------------------------------


def _is_fed(model: type[models.Model], relation: Relation) -> bool:
    """Whether it is a view whose policy says what feeds it: there the triggers stand."""
    return relation.kind not in TABLES and bool(site.depends_on(model))


def _compare(
    catalog: Catalog, model: type[models.Model], table: Relation, outbox: Relation
) -> TableStatus:
    label = model._meta.label_lower
    relations = [table, *catalog.partitions.get(table.oid, [])]
    odd = [relation for relation in relations if relation.kind not in TABLES]
    if table in odd:
        return TableStatus(
            label=label,
            table=str(table),
            state=State.IMPOSSIBLE,
            problems=("it is no table: nothing fires there",),
        )
    name = function_name(table.schema, table.name)
    text = body(
        model,
        table.schema,
        table.name,
        outbox.qualified,
        has_own_triggers=any(catalog.has_own(relation) for relation in relations),
    )
    problems, statements = [], []
    oid, found = catalog.functions.get((outbox.schema, name), (0, ""))
    if found.strip() != text.strip():
        problems.append("its function is of another version" if oid else "no function")
        statements += create_function(outbox.schema, name, text)
    standing = 0
    for relation in relations:
        if relation in odd:
            problems.append(f"{relation} is no table: nothing fires there")
            continue
        known = catalog.ours(relation)
        for operation in TRANSITIONS:
            trigger = known.get(trigger_name(operation))
            if trigger is not None and trigger.function == oid and trigger.enabled == "A":
                standing += 1
                continue
            problems.append(f"no trigger for {operation} on {relation}")
            function = f"{quote(outbox.schema)}.{quote(name)}"
            statements += create_trigger(operation, relation.qualified, function)
    return TableStatus(
        label=label,
        table=str(table),
        state=_state(problems, statements, is_new=not oid and not standing),
        problems=tuple(problems),
        statements=tuple(statements),
    )


def _state(problems: Sequence[str], statements: Sequence[str], *, is_new: bool) -> State:
    if is_new:
        return State.MISSING
    if statements:
        return State.OUTDATED
    return State.IMPOSSIBLE if problems else State.INSTALLED


def _orphans(catalog: Catalog, asked: Iterable[str], outbox: Relation) -> Iterator[TableStatus]:
    """What is ours by name, and of no table that is watched."""
    relations = [catalog.relations[name] for name in asked if name in catalog.relations]
    wanted = {(outbox.schema, function_name(r.schema, r.name)) for r in relations}
    for key in sorted(set(catalog.functions) - wanted):
        schema, name = key
        yield TableStatus(
            label="",
            table=f"{schema}.{name}",
            state=State.ORPHANED,
            problems=("it belongs to no watched table",),
            statements=tuple(_drops([key])),
        )


# -- acting ---------------------------------------------------------------------------------


def _drops(functions: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"DROP FUNCTION {quote(schema)}.{quote(name)}() CASCADE"
        for schema, name in sorted(functions)
    ]


def _execute(connection: BaseDatabaseWrapper, statements: Sequence[str]) -> None:
    if not statements:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        for statement in statements:
            cursor.execute(statement)


def _require(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor != "postgresql":
        raise CachePatternsError(
            f"DATABASES[{connection.alias!r}] is {connection.display_name}: triggers that tell "
            "the rows of a statement there are in PostgreSQL only. Announce such writes "
            "(`announces`), or invalidate after them."
        )


def _spelled(connection: BaseDatabaseWrapper, model: type[models.Model]) -> str:
    """The table's name as SQL would have it."""
    return connection.ops.quote_name(model._meta.db_table)


def _wanted(labels: Sequence[str]) -> dict[str, type[models.Model]]:
    """The watched models by label; raises `CachePatternsError` for a label of none."""
    own = table_name(InvalidationEvent)
    watched = {
        model._meta.label_lower: model
        for table, model in sorted(site.tracked().items())
        if table != own  # what is written into the outbox is written by these very triggers
    }
    chosen = [label.lower() for label in labels]
    for label in chosen:
        if not any(label in (known, known.partition(".")[0]) for known in watched):
            raise CachePatternsError(
                f"{label!r} is no watched model, nor an app that has one. There are: "
                f"{', '.join(sorted(watched))}."
            )
    return {
        label: model
        for label, model in watched.items()
        if not chosen or {label, label.partition(".")[0]} & set(chosen)
    }
