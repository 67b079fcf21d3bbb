"""Which rows a query's WHERE can concern at most: those with certain values in a narrowed field.

Readers ask it of what they read, and rest on these rows' tags; writers ask it of what they are
about to write, and close no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Col, ColPairs
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import AND, WhereNode

from cachepatterns.core import tag
from cachepatterns.policy import Narrowing, ResolvedPolicy

MAX_VALUES = 32
"""An ``IN`` list with more values than this concerns any row: more tags than it spares."""
TEXTS = frozenset({"text", "secret"})
NO_VALUE = (ValueError, TypeError, OverflowError)
"""What spelling something raises that is no value of the field."""


def narrowing_lookups(
    query: Any, policy: ResolvedPolicy, connection: BaseDatabaseWrapper
) -> list[tuple[Narrowing, Any]]:
    """The conditions that narrow `query`, the best first."""
    if query.combinator or not isinstance(query.where, WhereNode):
        return []
    # Not `base_table`: asked of a query without conditions, it would keep for good that there
    # is none, and the query could not be compiled any more.
    base_alias = next(iter(query.alias_map), None)
    found = {n.attname: lookup for n, lookup in _exact(query.where, policy, base_alias)}
    return [
        (narrowing, found[narrowing.attname])
        for narrowing in policy.narrowing
        if narrowing.attname in found and finds_equals_only(narrowing, connection)
    ]


def sole_integer(query: Any, policy: ResolvedPolicy) -> int | None:
    """The primary key that is all that `query`, which has no joins, goes by, where it is an
    integer: what `narrowing_lookups` would find, of most writes, by a look at one lookup."""
    where, pk = query.where, policy.pk
    if pk is None or pk.kind != "integer" or where.negated or len(where.children) != 1:
        return None
    lookup = where.children[0]
    lhs = getattr(lookup, "lhs", None)
    if type(lhs) is not Col or lhs.target is not pk.field or len(query.alias_map) != 1:
        return None
    is_exact = means_equal(lookup, Exact) and not lookup.bilateral_transforms
    return lookup.rhs if is_exact and type(lookup.rhs) is int else None


def means_equal(lookup: Any, kind: type) -> bool:
    """Whether it is Django's `Exact` or `In`: what somebody else makes of them, such as a lookup
    that is called ``ne``, may mean anything."""
    return isinstance(lookup, kind) and type(lookup).__module__.startswith("django.db.models.")


def spellings(
    narrowing: Narrowing, values: Iterable[Any], connection: BaseDatabaseWrapper
) -> list[str]:
    """How a lookup's values are spelled in tags, each once.

    Raises one of `NO_VALUE` for what is no value of the field.
    """
    kind = narrowing.kind
    spelled = {tag.canonical(kind, as_stored(narrowing, v, connection)) for v in values}
    return sorted(spelled)


def finds_equals_only(narrowing: Narrowing, connection: BaseDatabaseWrapper) -> bool:
    """Whether a lookup of one value finds no rows that spell it otherwise.

    On MySQL and MariaDB a text finds whatever its collation holds for equal: 'ABC' the row
    'abc', whose writers name 'abc' in their tags.
    """
    return not (connection.vendor == "mysql" and narrowing.kind in TEXTS)


def tag_field(narrowing: Narrowing, policy: ResolvedPolicy) -> str:
    """How a narrowing is called in tags: the primary key is always ``pk``."""
    return "pk" if narrowing.field.primary_key else narrowing.name


def as_stored(narrowing: Narrowing, value: Any, connection: BaseDatabaseWrapper) -> Any:
    """A lookup's value as the database holds it."""
    if value is None:
        return None
    target = narrowing.field
    while target.remote_field is not None:
        target = target.target_field
    return target.get_db_prep_value(value, connection, prepared=True)


def _exact(
    node: WhereNode, policy: ResolvedPolicy, base_alias: str | None
) -> Iterable[tuple[Narrowing, Any]]:
    """The ``field = value`` and ``field IN (values)`` conditions ANDed at the top."""
    if node.negated or node.connector != AND:
        return
    for child in node.children:
        if isinstance(child, WhereNode):
            yield from _exact(child, policy, base_alias)
            continue
        lhs: Any = getattr(child, "lhs", None)
        pairs = _is_pairs(lhs)
        if not pairs and type(lhs) is not Col:
            continue
        target = lhs.targets[0] if pairs else lhs.target
        narrowing = policy.by_attname.get(target.attname)
        if lhs.alias != base_alias or narrowing is None or narrowing.field is not target:
            continue
        lookup: Any = child
        if lookup.bilateral_transforms:
            continue
        if means_equal(lookup, Exact) and lookup.rhs_is_direct_value():
            if not isinstance(lookup.rhs, (list, tuple)):
                yield narrowing, lookup
        elif means_equal(lookup, In) and lookup.rhs_is_direct_value():
            values = values_of(lookup)
            if 0 < len(values) <= MAX_VALUES and None not in values:
                yield narrowing, lookup


def values_of(lookup: Any) -> list[Any]:
    """The values with which an exact lookup compares its column."""
    if isinstance(lookup, Exact):
        return [lookup.rhs]
    # Prefetches of some Django versions ask for tuples of one column.
    return [value[0] for value in lookup.rhs] if _is_pairs(lookup.lhs) else list(lookup.rhs)


def _is_pairs(lhs: Any) -> bool:
    return type(lhs) is ColPairs and len(lhs.targets) == 1
