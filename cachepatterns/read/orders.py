"""Whether the order of a query's rows leaves the database a choice."""

from __future__ import annotations

from typing import Any


def is_count(query: Any) -> bool:
    """Whether it only asks how many rows there are: which ones makes no difference."""
    return hasattr(query, "inner_query") and list(query.annotation_select) == ["__count"]


def is_told_to_the_last_row(query: Any) -> bool:
    """Whether the query's order leaves no choice: it names a unique field of its own model, and
    no join can show one of its rows twice."""
    if hasattr(query, "inner_query") or query.combinator or query.distinct:
        return False
    if query.group_by is not None or query.extra_order_by:
        return False
    if any(_multiplies(join) for join in query.alias_map.values()):
        return False
    meta = query.get_meta()
    unique = {"pk"} | {f.name for f in meta.concrete_fields if f.unique and not f.null}
    ordering = query.order_by or (meta.ordering if query.default_ordering else ())
    return any(isinstance(name, str) and name.lstrip("-+") in unique for name in ordering)


def _multiplies(join: Any) -> bool:
    field = getattr(join, "join_field", None)
    return field is not None and not (field.many_to_one or field.one_to_one)
