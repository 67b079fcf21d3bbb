"""Writes that change nothing but what a policy ignores: they invalidate none of its rows.

Told by the statement, before it runs: an UPDATE of which every assignment is to an ignored column.
What depends on such columns for more than showing them (conditions, orderings, expressions) rests
on the model's *ignored tag*, which is bumped like any other tag; so these answers stay exact.

The interleaving that must not happen: the most viewed products are read, a counter is written,
and the list of the most viewed is still the old one.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core import tag
from cachepatterns.core.sqlcolumns import assigned_columns
from cachepatterns.core.sqltext import Statement
from cachepatterns.observe import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.transactions import database_id
from cachepatterns.write.coarse import origin


def ignored_event(
    connection: BaseDatabaseWrapper, found: Statement, text: str
) -> InvalidationEvent | None:
    """What the statement invalidates, if all it sets is ignored; else `None`."""
    if found.verb != "UPDATE" or found.target is None:
        return None
    model = site.tracked().get(found.target)
    policy = site.policy_for(model) if model is not None else None
    if policy is None or not policy.ignored:
        return None
    assigned = assigned_columns(text)
    if not assigned or not assigned <= policy.ignored:
        return None
    tags = (tag.ignored_tag(policy.label, database_id(connection)),)
    return InvalidationEvent((policy.label,), tags, origin()[0], connection.alias)
