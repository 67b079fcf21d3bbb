"""What a database does by itself, as its catalog tells: triggers, rules, foreign key actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction:
    """A trigger or a rule. ``text`` is what it does, `None` where that can not be read; names
    of tables are lower case, without schema."""

    kind: str
    name: str
    table: str
    text: str | None
    changes_rows: bool = False
    """Whether it may change the very rows that are written (BEFORE, INSTEAD)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyAction:
    """A foreign key of `table` by which the database itself changes or deletes its rows.
    ``action`` in words: ``ON DELETE CASCADE``."""

    table: str
    referred: str
    action: str


def reactions(connection: BaseDatabaseWrapper) -> list[Reaction]:
    """All triggers and rules but our own. Raises `DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(_REACTIONS[connection.vendor])
        return [
            Reaction(kind=kind, name=name, table=table, text=text, changes_rows=bool(changes))
            for kind, name, table, text, changes in cursor.fetchall()
        ]


def key_actions(connection: BaseDatabaseWrapper) -> list[KeyAction]:
    """All foreign keys that act. Raises `DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(_KEY_ACTIONS[connection.vendor])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    acting = []
    for table, referred, on_delete, on_update in found:
        for event, rule in (("DELETE", on_delete), ("UPDATE", on_update)):
            if rule not in {"NO ACTION", "RESTRICT"}:
                acting.append(
                    KeyAction(table=table, referred=referred, action=f"ON {event} {rule}")
                )
    return acting


def supports(connection: BaseDatabaseWrapper) -> bool:
    """Whether this kind of database can be asked."""
    return connection.vendor in _REACTIONS


_REACTIONS = {
    # A function in C has no text; one in SQL's standard form has it in another column.
    "postgresql": """
        SELECT 'trigger', t.tgname, lower(c.relname),
               CASE WHEN l.lanname IN ('internal', 'c') THEN NULL
                    ELSE coalesce(nullif(p.prosrc, ''), pg_get_function_sqlbody(p.oid), '') END,
               t.tgtype & 2 <> 0 AND t.tgtype & 1 <> 0 OR t.tgtype & 64 <> 0
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_language AS l ON l.oid = p.prolang
        WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
          AND NOT starts_with(p.proname, 'cachepatterns_')
        UNION ALL
        SELECT 'rule', r.rulename, lower(c.relname), pg_get_ruledef(r.oid), r.is_instead
        FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
        WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D'
          AND c.relnamespace <> 'pg_catalog'::regnamespace
        ORDER BY 3, 2
    """,
    "sqlite": """
        SELECT 'trigger', name, lower(tbl_name), sql, sql LIKE '%instead of%'
        FROM sqlite_master WHERE type = 'trigger' ORDER BY 3, 2
    """,
    "mysql": """
        SELECT 'trigger', TRIGGER_NAME, LOWER(EVENT_OBJECT_TABLE), ACTION_STATEMENT,
               ACTION_TIMING = 'BEFORE'
        FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 3, 2
    """,
}

_KEY_ACTIONS = {
    "postgresql": """
        SELECT DISTINCT lower(c.relname), lower(r.relname), d.rule, u.rule
        FROM pg_constraint AS k
        JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS r ON r.oid = k.confrelid
        JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'),
                     ('d', 'SET DEFAULT')) AS d (code, rule) ON d.code = k.confdeltype
        JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'),
                     ('d', 'SET DEFAULT')) AS u (code, rule) ON u.code = k.confupdtype
        WHERE k.contype = 'f' ORDER BY 1, 2
    """,
    "sqlite": """
        SELECT DISTINCT lower(m.name), lower(k."table"), k.on_delete, k.on_update
        FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS k
        WHERE m.type = 'table' ORDER BY 1, 2
    """,
    "mysql": """
        SELECT DISTINCT LOWER(TABLE_NAME), LOWER(REFERENCED_TABLE_NAME), DELETE_RULE, UPDATE_RULE
        FROM information_schema.REFERENTIAL_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2
    """,
}
