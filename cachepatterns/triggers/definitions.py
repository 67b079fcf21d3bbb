"""What is to be in the database: one function for each watched table, four triggers on it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from importlib.resources import files
from typing import Any

from django.db import models

from cachepatterns.conf import config
from cachepatterns.core.marker import marker_parts
from cachepatterns.registry import site, table_name

MAX_ROWS = 200
"""Of a statement that writes more rows, the event only says that it wrote the table."""

FUNCTION_PREFIX = "cachepatterns_record_"
TRANSITIONS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}
"""The operations, each of which needs a trigger of its own to see the rows."""

_TEMPLATE = (files("cachepatterns.triggers") / "function.sql").read_text(encoding="utf-8")


def trigger_name(operation: str) -> str:
    """The name of a trigger; it is one of its table's, so it need not name that."""
    return f"cachepatterns_{operation.lower()}"


def function_name(schema: str, table: str) -> str:
    """At most 60 characters, readable as far as they go."""
    digest = blake2b(f"{schema}.{table}".encode(), digest_size=4).hexdigest()
    return f"{FUNCTION_PREFIX}{re.sub(r'[^a-z0-9_]', '_', table.lower())[:30]}_{digest}"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return text.replace("'", "''")


def body(
    model: type[models.Model], schema: str, table: str, outbox: str, *, has_own_triggers: bool
) -> str:
    """The text of the function for `model`, whose table is `table` in `schema`."""
    keys = [field.column for field in _primary_key(model)]
    policy = site.policy_for(model)
    if policy is not None and policy.has_rules:
        told, known = f"to_jsonb(r){_untold(model)}", keys  # rules may ask for any column
    else:
        narrowing = policy.narrowing if policy is not None else ()
        known = list(dict.fromkeys([*keys, *(narrowed.column for narrowed in narrowing)]))
        pairs = ", ".join(f"'{literal(column)}', {quote(column)}" for column in known)
        told = f"(SELECT jsonb_build_object({pairs}) FROM (SELECT r.*) AS own)"
    mark = None if has_own_triggers else marker_parts(config().PREFIX, table_name(model))
    head, tail = mark or ("", "")
    blanks = {
        "mark_head": head,
        "mark_tail": tail,
        "skip": "pg_trigger_depth() = 1 AND right(current_query(), length(_mark)) = _mark"
        if mark
        else "false",
        "why_skip": "What Django accounts for itself needs no relay."
        if mark
        else "Triggers of the table's own may change what Django believes to have written.",
        "limit": str(MAX_ROWS),
        "told": told,
        "gone": ", ".join(f"'{{}}'::jsonb AS {quote(column)}" for column in known),
        "keys": ", ".join(
            f"(SELECT nullif({quote(column)}::text, '{{}}') FROM (SELECT r.*) AS own) AS k{i}"
            for i, column in enumerate(keys)
        ),
        "same_keys": " AND ".join(f"o.k{i} = n.k{i}" for i in range(len(keys))),
        "outbox": outbox,
        "prefix": literal(config().PREFIX),
        "table": literal(f"{schema}.{table}"),
    }
    return re.sub(r"@(\w+)@", lambda blank: blanks[blank[1]], _TEMPLATE)


def create_function(schema: str, name: str, text: str) -> list[str]:
    """The statements that make the function, or make it anew.

    It runs with its owner's rights, since whoever may write the table need not be allowed to
    write the outbox; so it trusts no search path, and nobody may put it on tables of their own.
    """
    qualified = f"{quote(schema)}.{quote(name)}()"
    return [
        f"CREATE OR REPLACE FUNCTION {qualified} RETURNS trigger LANGUAGE plpgsql "
        f"SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $cachepatterns$\n{text}"
        "$cachepatterns$",
        f"REVOKE ALL ON FUNCTION {qualified} FROM PUBLIC",
    ]


def create_trigger(operation: str, relation: str, function: str) -> list[str]:
    """The statements that put a trigger on a relation, both names given qualified and quoted.

    Always: also what replication or a bulk load with triggers switched off writes is written.
    """
    name = quote(trigger_name(operation))
    return [
        f"CREATE OR REPLACE TRIGGER {name} AFTER {operation} ON {relation} "
        f"{TRANSITIONS[operation]} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
        f"ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {name}",
    ]


def _untold(model: type[models.Model]) -> str:
    """Without virtual columns, which are empty in transition tables: better no value."""
    meta: Any = model._meta
    fields = [f for f in meta.local_concrete_fields if getattr(f, "generated", False)]
    virtual = [f"'{literal(f.column)}'" for f in fields if not f.db_persist]
    return f" - ARRAY[{', '.join(virtual)}]" if virtual else ""


def _primary_key(model: type[models.Model]) -> Iterable[Any]:
    meta: Any = model._meta
    return list(meta.pk_fields)
