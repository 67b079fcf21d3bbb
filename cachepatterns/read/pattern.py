"""What a query is called in the statistics: its shape, never its values.

``get:pk``, ``list:category``, ``count:category``, ``exists``, ``aggregate``, ``values:…``.
"""

from __future__ import annotations

from typing import Any

from django.db.models.sql.constants import SINGLE


def row_pattern(field: str) -> str:
    """What a row asked for by one field is called."""
    return f"row:{field}"


def pattern_of(query: Any, narrowed_by: str, result_type: str) -> str:
    """The name of the query's shape."""
    operation = _operation(query, result_type)
    return f"{operation}:{narrowed_by}" if narrowed_by else operation


def _operation(query: Any, result_type: str) -> str:
    if query.combinator:
        return str(query.combinator)
    if result_type == SINGLE:
        annotations = query.annotation_select
        if "a" in annotations and len(annotations) == 1:
            return "exists"
        return "count" if list(annotations) == ["__count"] else "aggregate"
    if query.values_select or (query.annotation_select and not query.default_cols):
        return "values"
    if query.select_related:
        return "joined"
    return "list"
