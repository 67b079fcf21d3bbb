"""What is in the database: tables, their partitions, our functions, everybody's triggers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.triggers.definitions import FUNCTION_PREFIX, quote

TABLES = frozenset({"r", "p"})
"""The kinds of relations that take triggers with rows: tables, and partitioned ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """A table, a partition, or something else by that name (a view, say)."""

    oid: int
    schema: str
    name: str
    kind: str

    @property
    def qualified(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """A trigger that somebody has created. ``enabled`` as in ``pg_trigger``: A is always."""

    relation: int
    name: str
    enabled: str
    function: int
    function_name: str


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """One reading of it all."""

    relations: Mapping[str, Relation]
    """By the name that was asked for; what does not exist is missing."""
    partitions: Mapping[int, list[Relation]]
    """All of a table's partitions and children, at whatever depth."""
    functions: Mapping[tuple[str, str], tuple[int, str]]
    """Ours: ``(schema, name) -> (oid, text)``."""
    triggers: list[Trigger] = field(default_factory=list)
    ruled: frozenset[int] = frozenset()
    """Relations with rewrite rules on writes."""

    def ours(self, relation: Relation) -> dict[str, Trigger]:
        """Our triggers on a relation, by name."""
        return {
            trigger.name: trigger
            for trigger in self.triggers
            if trigger.relation == relation.oid
            and trigger.function_name.startswith(FUNCTION_PREFIX)
        }

    def has_own(self, relation: Relation) -> bool:
        """Whether triggers or rules that are not ours may change what is written to it."""
        return relation.oid in self.ruled or any(
            trigger.relation == relation.oid
            and trigger.enabled != "D"
            and not trigger.function_name.startswith(FUNCTION_PREFIX)
            for trigger in self.triggers
        )


def read_catalog(connection: BaseDatabaseWrapper, names: Iterable[str]) -> Catalog:
    """What the database holds for tables called `names`, as one would write them in SQL."""
    with connection.cursor() as cursor:
        relations = _relations(cursor, list(names))
        return Catalog(
            relations=relations,
            partitions=_partitions(cursor, [relation.oid for relation in relations.values()]),
            functions=read_functions(cursor),
            triggers=_triggers(cursor),
            ruled=_ruled(cursor),
        )


def read_functions(cursor: Any) -> dict[tuple[str, str], tuple[int, str]]:
    """Our functions, whatever they are for."""
    cursor.execute(
        """
        SELECT n.nspname, p.proname, p.oid, p.prosrc
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE starts_with(p.proname, %s) AND p.prorettype = 'trigger'::regtype
        """,
        [FUNCTION_PREFIX],
    )
    return {(schema, name): (oid, text) for schema, name, oid, text in cursor.fetchall()}


def _relations(cursor: Any, names: list[str]) -> dict[str, Relation]:
    cursor.execute(
        """
        SELECT asked.name, c.oid, n.nspname, c.relname, c.relkind
        FROM unnest(%s::text[]) AS asked (name)
        JOIN pg_class AS c ON c.oid = to_regclass(asked.name)
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        """,
        [names],
    )
    return {
        asked: Relation(oid=oid, schema=schema, name=name, kind=kind)
        for asked, oid, schema, name, kind in cursor.fetchall()
    }


def _partitions(cursor: Any, roots: list[int]) -> dict[int, list[Relation]]:
    cursor.execute(
        """
        WITH RECURSIVE below (root, oid) AS (
            SELECT inhparent, inhrelid FROM pg_inherits WHERE inhparent = ANY (%s::oid[])
            UNION SELECT root, inhrelid FROM below JOIN pg_inherits ON inhparent = below.oid
        )
        SELECT root, c.oid, n.nspname, c.relname, c.relkind
        FROM below JOIN pg_class AS c USING (oid)
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f') ORDER BY n.nspname, c.relname
        """,
        [roots],
    )
    found: dict[int, list[Relation]] = {}
    for root, oid, schema, name, kind in cursor.fetchall():
        relation = Relation(oid=oid, schema=schema, name=name, kind=kind)
        found.setdefault(root, []).append(relation)
    return found


def _triggers(cursor: Any) -> list[Trigger]:
    cursor.execute(
        """
        SELECT t.tgrelid, t.tgname, t.tgenabled, t.tgfoid, p.proname
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
        """
    )
    return [
        Trigger(
            relation=relation, name=name, enabled=enabled, function=function, function_name=called
        )
        for relation, name, enabled, function, called in cursor.fetchall()
    ]


def _ruled(cursor: Any) -> frozenset[int]:
    cursor.execute("SELECT ev_class FROM pg_rewrite WHERE ev_type <> '1' AND ev_enabled <> 'D'")
    return frozenset(row[0] for row in cursor.fetchall())
