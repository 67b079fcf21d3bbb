"""Columns that hold texts for equal that their fields do not.

Rows and lists are told apart by a text's letters. A column that was made `citext` or `char(n)`, or
was given a nondeterministic collation, behind a field that does not say so finds a row by texts
that its writers never name: what is cached under them stays stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.live.databases import answered, cached_aliases
from cachepatterns.live.finding import Finding, State
from cachepatterns.narrowing import TEXTS
from cachepatterns.registry import site

_LENIENT = """
    SELECT lower(c.relname), lower(a.attname),
           CASE WHEN t.typname = 'bpchar' THEN 'char(n)' WHEN t.typname = 'citext' THEN 'citext'
                ELSE 'under the collation ' || l.collname END
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f')
      AND (t.typname IN ('citext', 'bpchar') OR NOT l.collisdeterministic)
      AND c.relnamespace <> 'pg_catalog'::regnamespace
    ORDER BY 1, 2
"""


def text_findings() -> Iterator[Finding]:
    """Those of every PostgreSQL that is cached; never raises. Of texts on MariaDB and MySQL, whose
    collations all do so, nothing is told apart; SQLite does not say."""
    for alias in cached_aliases():
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        topic = f"database {alias}"
        yield from answered(
            topic,
            partial(_findings, connection, topic),
            in_order="Texts are compared as their fields say",
            unknown="How its columns compare texts is unknown",
            check_id="I033",
        )


def _findings(connection: BaseDatabaseWrapper, topic: str) -> Iterator[Finding]:
    fields = {
        (policy.model._meta.db_table.lower(), narrowing.field.column.lower()): (policy, narrowing)
        for policy in site.policies()
        for narrowing in policy.by_attname.values()
        if narrowing.kind in TEXTS and connection.alias in policy.databases
    }
    with connection.cursor() as cursor:
        cursor.execute(_LENIENT)
        rows = cursor.fetchall()
    for table, column, how in rows:
        known = fields.get((table, column))
        if known is None:
            continue
        policy, narrowing = known
        yield Finding(
            topic=topic,
            state=State.WARNING,
            text=f"{policy.label}.{narrowing.name} is {how} in the database, which holds texts "
            "for equal that the field does not: what is asked for by another spelling than the "
            "row's stays stale until its TTL.",
            hint="Let the field say so (db_collation, or a field type of its own), or leave it "
            f"out of narrow_by_only in the policy of {policy.label}.",
            id="W033",
        )
