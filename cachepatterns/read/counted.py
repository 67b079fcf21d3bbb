"""What the database holds in the counters of one row: an entry of its own.

The row's own entry may be older, where its policy ignores the counters. This one rests on the row,
and on every write of what is ignored; so a flush outdates it, and it is one small query to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from cachepatterns.conf import config
from cachepatterns.core import tag
from cachepatterns.core.codec import Row
from cachepatterns.core.key import query_digest, query_key
from cachepatterns.narrowing import as_stored
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.eligibility import why_not_here
from cachepatterns.read.lookup import read
from cachepatterns.read.question import question_on
from cachepatterns.registry import site
from cachepatterns.sources import table_name
from cachepatterns.transactions import database_id, source_id

PATTERN = "counted"


def counted_row(policy: ResolvedPolicy, using: str, key: Any, names: Sequence[str]) -> Row | None:
    """The row's values in these fields; `None` if there is no such row."""
    connection, model = connections[using], policy.model

    def load() -> list[Row]:
        return list(QuerySet(model, using=using).filter(pk=key).values_list(*names))

    narrowing = policy.pk
    is_told = site.tables().get(table_name(model)) is model
    if narrowing is None or not is_told or why_not_here(connection, using, policy):
        found = load()
        return found[0] if found else None
    label, database = policy.label, database_id(connection)
    stored = as_stored(narrowing, narrowing.field.get_prep_value(key), connection)
    spelled = tag.canonical(narrowing.kind, stored)
    tags = (
        tag.model_tag(label, database),
        tag.row_tag(label, database, spelled),
        tag.ignored_tag(label, database),
    )
    digest = query_digest(PATTERN, (spelled,), *names)
    question = question_on(
        tags,
        policy.tier,
        key=query_key(config().PREFIX, label, policy.fingerprint, source_id(connection), digest),
        using=using,
        label=label,
        pattern=PATTERN,
    )
    rows = read(question, load)
    return rows[0] if rows else None
