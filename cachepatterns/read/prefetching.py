"""The targets of foreign keys that `prefetch_related` asks for: by their rows.

Django asks for them with one ``IN`` over their keys, and no order. Kept as lists, every page's set
of keys would be an entry of its own, and one changed row would outdate all sets that hold it. By
rows each is kept once, and whatever set is asked for takes one round trip.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models.expressions import Col, ColPairs
from django.db.models.lookups import In

from cachepatterns.narrowing import NO_VALUE, means_equal
from cachepatterns.read.options import DEFAULT
from cachepatterns.read.rowplans import why_no_rows
from cachepatterns.read.rows import get_rows


def asks_for_all_columns_of_one_table(query: Any) -> bool:
    """Whether nothing but conditions were added to `query`, and perhaps an order."""
    return (
        query.cache_options == DEFAULT
        and not query.is_sliced
        and not query.combinator
        and not query.distinct
        and not query.annotations
        and not query.select_related
        and not query.select_for_update
        and not query.extra
        and not query.extra_tables
        and not query.select
        and not query.deferred_loading[0]
        and query.deferred_loading[1]
        and query.group_by is None
    )


def targets(queryset: Any) -> list[Any] | None:
    """What a prefetch of a foreign key's targets finds; `None` if that is to be asked otherwise.

    `queryset` is one that yields instances and has no known related objects.
    """
    query = queryset.query
    # What is asked for one of several instances, and has no order, is asked by a prefetch.
    if "instance" not in queryset._hints or query.order_by or query.default_ordering:
        return None
    asked = _one_condition(query)
    if asked is None or not asks_for_all_columns_of_one_table(query):
        return None
    name, values = asked
    plan, _reason = why_no_rows(queryset.model, name, queryset.db)
    most = connections[queryset.db].features.max_query_params
    if plan is None or (most and len(values) > most):
        return None
    try:
        return list(get_rows(plan, queryset.model, values).values())
    except NO_VALUE:
        return None


def _one_condition(query: Any) -> tuple[str, list[Any]] | None:
    """The field and the values of ``field IN (values)``, if that is all that is asked."""
    where = query.where
    if where.negated or len(where.children) != 1 or len(query.alias_map) > 1:
        return None
    lookup: Any = where.children[0]
    if not means_equal(lookup, In) or not lookup.rhs_is_direct_value():
        return None
    lhs: Any = lookup.lhs
    if type(lhs) is ColPairs and len(lhs.targets) == 1:
        values = [value[0] for value in lookup.rhs]
        return lhs.targets[0].attname, values
    if type(lhs) is Col and not lookup.bilateral_transforms:
        return lhs.target.attname, list(lookup.rhs)
    return None
