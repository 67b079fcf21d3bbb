"""The shape of a query: what decides its SQL, without its values.

Compiling a query only to learn its key costs more than asking Redis does. Most queries are of
few shapes, though: plain columns compared with plain values. For these `shape_of` gives a
hashable shape and the values, such that queries on one connection have the same SQL and the same
parameters if and only if both are the same; a property test holds it to that. Everything is
allowed by name: an attribute of the query, a lookup or a value that is not known here means that
the query has no shape, and is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models.sql.constants import INNER
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import WhereNode

from cachepatterns.read.conditions import Shapeless, column, condition, where
from cachepatterns.read.options import DEFAULT

Shape = tuple[Any, ...]
Values = tuple[Any, ...]


def shape_of(query: Any) -> tuple[Shape, Values] | None:
    """The shape and the values of `query`, or `None` if it has none."""
    shape: list[Any] = [query.model]
    values: list[Any] = []
    try:
        for name, found in query.__dict__.items():
            told = _ATTRIBUTES[name]
            if told is not None:
                told(name, found, shape, values)
    except (KeyError, Shapeless):
        return None
    return tuple(shape), tuple(values)


def places_of(query: Any) -> dict[Any, slice]:
    """Where in the values of its shape those of each lookup stand, by its `id`; and by their
    names the marks between which the query is sliced."""
    found: dict[Any, slice] = {}
    values: list[Any] = []

    def walk(node: Any) -> None:
        for child in node.children:
            if type(child) is WhereNode:
                walk(child)
            else:
                start = len(values)
                condition(child, [], values)
                found[id(child)] = slice(start, len(values))

    for name, part in query.__dict__.items():
        told = _ATTRIBUTES[name]
        if name == "where":
            walk(part)
        elif told is not None:
            start = len(values)
            told(name, part, [], values)
            if len(values) > start:
                found[name] = slice(start, len(values))
    return found


def spelled(shape: Any) -> str:
    """A shape as a text, the same in every process."""
    if isinstance(shape, tuple):
        return f"({','.join(map(spelled, shape))})"
    if isinstance(shape, frozenset):
        return f"{{{','.join(sorted(map(spelled, shape)))}}}"
    if isinstance(shape, type):
        return f"{shape.__module__}.{shape.__qualname__}"
    return repr(shape)


Teller = Callable[[str, Any, list[Any], list[Any]], None]


def _must_be(*allowed: Any) -> Teller:
    def tell(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
        if found not in allowed:
            raise Shapeless(name)

    return tell


def _must_be_empty(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    if found:
        raise Shapeless(name)


def _part_of_shape(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    shape.append(name)
    shape.append(found)


def _options(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    # `cached()` without arguments asks what the plain queryset asks.
    if found != DEFAULT:
        shape.append(found)


def _deferred(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    names, defer = found
    shape.append((name, frozenset(names), defer))


def _slice_mark(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    shape.append(name)
    shape.append(found is None)
    values.append(found)


def _joins(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    for alias, table in found.items():
        kind = type(table)
        if kind is BaseTable:
            shape.append((alias, table.table_name))
        elif kind is Join and table.filtered_relation is None:
            inner = table.join_type == INNER
            # By its columns: hidden relations ("+") share one name.
            shape.append((alias, table.table_name, table.parent_alias, inner, table.join_cols))
        else:
            raise Shapeless(name)


def _counts(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    # A join that nothing refers to is not written.
    shape.append(tuple((alias, bool(count)) for alias, count in found.items()))


def _ordering(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    for item in found:
        if type(item) is not str or "?" in item:
            raise Shapeless(name)
    shape.append(name)
    shape.append(found)


def _columns(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    shape.append(name)
    shape.extend(map(column, found))


def _related(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    shape.append(name)
    shape.append(_tree(found))


def _tree(found: Any) -> Any:
    if found is False:
        return False
    if type(found) is not dict:
        raise Shapeless("select_related")
    return tuple((relation, _tree(further)) for relation, further in found.items())


def _selected(name: str, found: Any, shape: list[Any], values: list[Any]) -> None:
    shape.append(name)
    shape.append(None if found is None else tuple(found.items()))


_ATTRIBUTES: dict[str, Teller | None] = {
    # Said otherwise already, or of use only while further conditions are added.
    "model": None,
    "table_map": None,
    "used_aliases": None,
    "base_table": None,
    "filter_is_sticky": None,
    "_lookup_joins": None,
    "contains_aggregate": None,
    # What a plain query has at its default.
    "alias_cols": _must_be(True),
    "external_aliases": _must_be_empty,
    "annotations": _must_be_empty,
    "extra": _must_be_empty,
    "_filtered_relations": _must_be_empty,
    "_annotation_select_cache": _must_be_empty,
    "_extra_select_cache": _must_be_empty,
    "extra_order_by": _must_be_empty,
    "extra_select_mask": _must_be_empty,
    "annotation_select_mask": _must_be_empty,
    "extra_tables": _must_be_empty,
    "combined_queries": _must_be_empty,
    "distinct_fields": _must_be_empty,
    "subquery": _must_be(False),
    "select_for_update": _must_be(False),
    "group_by": _must_be(None),
    "combinator": _must_be(None),
    "explain_info": _must_be(None),
    "is_summary": _must_be(False),
    # What tells one shape from another.
    "alias_map": _joins,
    "alias_refcount": _counts,
    "where": where,
    "order_by": _ordering,
    "select": _columns,
    "select_related": _related,
    "selected": _selected,
    "low_mark": _slice_mark,
    "high_mark": _slice_mark,
    "default_ordering": _part_of_shape,
    "standard_ordering": _part_of_shape,
    "default_cols": _part_of_shape,
    "distinct": _part_of_shape,
    "deferred_loading": _deferred,
    "values_select": _part_of_shape,
    "cache_options": _options,
}
