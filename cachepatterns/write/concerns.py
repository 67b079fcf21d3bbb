"""What an UPDATE or DELETE is about to touch, as far as it says so before it runs."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.subqueries import UpdateQuery

from cachepatterns.core import tag
from cachepatterns.core.witness import Staying
from cachepatterns.narrowing import (
    NO_VALUE,
    as_stored,
    narrowing_lookups,
    sole_integer,
    spellings,
    values_of,
)
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.write.changes import heads_of

AS_STORED: dict[str, type] = {
    "integer": int,
    "text": str,
    "boolean": bool,
    "uuid": uuid.UUID,
    "date": datetime.date,
}
"""Of each kind, the type of the values that PostgreSQL holds, and gives back, as they are here."""

Pair = tuple[Sequence[Any] | None, Sequence[Any] | None]
"""What a row held before and after, in the order of `policy.told`; `None` where it was not."""


class Foreseen(NamedTuple):
    """The tags that an UPDATE concerns if it moves its one row from no list to another, as
    ``save()`` mostly does not."""

    tags: frozenset[str]
    row: tuple[Any, ...] | None = None
    """What the statement tells of the row then, before and after alike; `None` if that has to be
    spelled to be known."""

    def is_told(self, pairs: Sequence[Pair]) -> bool:
        """Whether just that has happened, as the database tells it."""
        row = self.row
        return row is not None and len(pairs) == 1 and pairs[0][0] == row == pairs[0][1]


class Concerned(Protocol):
    """What a statement says of the rows of its model that it is about to touch."""

    def rows(self) -> Sequence[str]:
        """The tags of the rows that it touches at most; empty where it does not say."""

    def foreseen(self) -> Foreseen | None:
        """What it most likely concerns; `None` where it sets not all of what lists are narrowed
        by, or to values that the database will work out."""

    def staying(self) -> Staying | None:
        """What it says of one row's lists, if it is sure to leave the row in those that it is in,
        once it is known that these are they; `None` where it may not."""
        return None


class ByQuery(Concerned):
    """As Django's query says."""

    def __init__(
        self, query: Any, policy: ResolvedPolicy, connection: BaseDatabaseWrapper, database: str
    ) -> None:
        self._query, self._policy = query, policy
        self._connection, self._database = connection, database

    def rows(self) -> Sequence[str]:
        policy, database, query = self._policy, self._database, self._query
        for field, *_ in getattr(query, "values", ()):
            if field.primary_key:
                return ()  # they get another one
        key = sole_integer(query, policy)
        if key is not None:
            return (tag.row_tag(policy.label, database, str(key)),)
        for narrowing, lookup in narrowing_lookups(query, policy, self._connection):
            if narrowing is policy.pk:
                with contextlib.suppress(*NO_VALUE):
                    spelled = spellings(narrowing, values_of(lookup), self._connection)
                    return tuple(tag.row_tag(policy.label, database, value) for value in spelled)
        return ()

    def foreseen(self) -> Foreseen | None:
        rows = self.rows() if isinstance(self._query, UpdateQuery) else ()
        if len(rows) != 1:
            return None
        set_to = {field.attname: value for field, _, value in self._query.values}
        return foreseen(rows, set_to, self._policy, self._connection, self._database)


def foreseen(
    rows: Sequence[str],
    set_to: Mapping[str, Any],
    policy: ResolvedPolicy,
    connection: BaseDatabaseWrapper,
    database: str,
) -> Foreseen | None:
    """What setting the one of `rows` to these values concerns (see `Concerned`)."""
    tags = {tag.any_row_tag(policy.label, database), *rows}
    try:
        for attname, kind, spelled, head in heads_of(policy, database):
            narrowing = policy.by_attname[attname]
            if narrowing.field.primary_key:
                continue
            value = set_to[attname]
            if type(value) is not AS_STORED.get(kind):
                prepared = narrowing.field.get_prep_value(value)
                value = as_stored(narrowing, prepared, connection)
            tags.add(head + (tag.NULL if value is None else spelled(value)))
    except (KeyError, *NO_VALUE):  # what is an expression too
        return None
    return Foreseen(frozenset(tags))


class Lists:
    """The lists that a row is in after an UPDATE of these fields to values of these types, where
    the database holds such values as they are: `foreseen`, worked out as far as it goes."""

    def __init__(
        self,
        policy: ResolvedPolicy,
        database: str,
        attnames: Sequence[str],
        types: Sequence[type],
    ) -> None:
        self._tags = [tag.any_row_tag(policy.label, database)]
        """Those that do not depend on a value."""
        self._heads: list[tuple[int, Callable[[Any], str], str]] | None = []
        self._told: list[int] | None = None
        pk = policy.model._meta.pk.attname
        self._key = AS_STORED.get(policy.by_attname[pk].kind)
        type_of = dict(zip(attnames, types, strict=True))
        for attname, kind, spelled, head in heads_of(policy, database):
            if attname == pk:
                continue
            if type_of.get(attname) is type(None):
                self._tags.append(head + tag.NULL)
            elif attname in type_of and AS_STORED.get(kind) is type_of[attname]:
                self._heads.append((attnames.index(attname), spelled, head))
            else:
                self._heads = None
                return
        more = policy.has_rules or policy.policy.write_through  # than tags, to be told of the row
        told = [field.attname for field in policy.told]
        if told[0] == pk and {*told[1:]} <= {*attnames} and not more:
            self._told = [attnames.index(name) for name in told[1:]]

    def foreseen(self, row: str, pk: Any, given: Sequence[Any]) -> Foreseen | None:
        if self._heads is None:
            return None
        tags = [head + spelled(given[place]) for place, spelled, head in self._heads]
        tags += (row, *self._tags)
        told = None
        if self._told is not None and type(pk) is self._key:
            told = (pk, *[given[place] for place in self._told])
        return Foreseen(frozenset(tags), told)
