"""UPDATEs of one row by its primary key, by a kept text.

``save()`` and ``filter(pk=…).update(…)`` build a query, copy it twice, and compile it column by
column, each time to the same text: Django takes as long for that as the database takes for the
statement. So the text is kept, with what `appending` makes of it, and of a write to come only its
values are prepared, by the fields' own `get_db_prep_save`.

The statement goes through `cursor.execute` and all execute wrappers, ours too, to which it is
announced with what is known of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import sql

from cachepatterns.conf import config
from cachepatterns.core import tag
from cachepatterns.core.witness import Staying, witness
from cachepatterns.narrowing import NO_VALUE, spellings
from cachepatterns.registry import site
from cachepatterns.transactions import in_transaction
from cachepatterns.write.accounting import is_accounted
from cachepatterns.write.ahead import registering
from cachepatterns.write.appending import Appended
from cachepatterns.write.authorship import Own
from cachepatterns.write.concerns import Concerned, Foreseen, foreseen
from cachepatterns.write.fence import Fence
from cachepatterns.write.telling import Telling
from cachepatterns.write.updatetexts import BOTH, Text, are_values, kept, proven
from cachepatterns.write.wholesale import wholesale

_SENDING = "_cachepatterns_update"
"""The attribute of a connection that holds the update that it is about to be given."""

Names = tuple[str, ...]
Query = Callable[[], Any]
"""Makes Django's `UpdateQuery` of the same write."""


def save(queryset: Any, values: Sequence[tuple[Any, Any, Any]]) -> int | None:
    """What ``queryset._update(values)`` gives, the rows written; `None` if Django is to do it."""
    names = tuple([field.attname for field, _, _ in values])
    given = [value for _, _, value in values]

    def query() -> Any:
        made = queryset.query.chain(sql.UpdateQuery)
        made.add_update_fields(values)
        return made

    return _written(queryset, _key_of(queryset), names, given, query)


def update(queryset: Any, values: dict[str, Any]) -> int | None:
    """The same of ``queryset.update(**values)``."""

    def query() -> Any:
        made = queryset.query.chain(sql.UpdateQuery)
        made.add_update_values(values)
        return made

    queryset._for_write = True  # as Django does, before it is asked for its database
    pk = _key_of(queryset)
    if pk is None:
        return None
    with transaction.mark_for_rollback_on_error(using=queryset.db):
        return _written(queryset, pk, tuple(values), list(values.values()), query)


def handed_over(connection: BaseDatabaseWrapper, text: str) -> Appended | None:
    """The update that `connection` is being given, if `text` is its."""
    update: _Update | None = connection.__dict__.get(_SENDING)
    return update.appended() if update is not None and update.text.sql is text else None


def _key_of(queryset: Any) -> Any:
    """The primary key that is all that the queryset goes by."""
    recipe = queryset._cachepatterns_recipe
    if recipe is None or len(recipe.calls) != 1:
        return None
    method, _, conditions = recipe.calls[0]
    if method != "filter" or len(conditions) != 1 or not recipe.values:
        return None
    (name,) = conditions
    return recipe.values[0] if name in {"pk", queryset.model._meta.pk.attname} else None


def _written(queryset: Any, pk: Any, names: Names, given: list[Any], query: Query) -> int | None:
    if pk is None or not config().SHORTCUTS or is_accounted() or wholesale() is not None:
        return None
    connection: BaseDatabaseWrapper = connections[queryset.db]
    policy = site.policy_for(queryset.model)
    if policy is None or connection.vendor != "postgresql":
        return None
    key = queryset.model, names, tuple(map(type, given)), type(pk)
    text = kept(connection, policy, key, lambda: proven(connection, policy, pk, given, query))
    if text is None or not (text.is_plain or are_values(given)):
        return None
    return _send(text, pk, given)


def _send(text: Text, pk: Any, given: Sequence[Any]) -> int | None:
    """Execute it; the number of rows written, or `None` if that is left to Django."""
    if text.least is not None and not text.least <= pk <= text.most:
        return None  # no row can have it, and Django asks for none
    connection = text.connection
    update = _Update(text, pk, given)
    if not in_transaction(connection) and text.policy.is_strict:
        update.fence = registering(connection, text.policy, text.database, update)
    known = connection.__dict__
    before = known.get(_SENDING)
    try:
        try:
            parameters = text.parameters(pk, given)
        except Exception:  # Django raises it again, and says where
            return None
        if parameters is None:
            return None
        known[_SENDING] = update
        with connection.cursor() as cursor:
            cursor.execute(text.sql, parameters)
            return cursor.rowcount
    finally:
        known[_SENDING] = before
        fence = update.take()
        if fence is not None:  # it was not sent
            fence.release(())


class _Update(Concerned):
    """One update by a kept text."""

    __slots__ = ("_foreseen", "_given", "_pk", "_spelled", "fence", "text")

    def __init__(self, text: Text, pk: Any, given: Sequence[Any]) -> None:
        self.text, self._pk, self._given = text, pk, given
        self._spelled = _spelled(text, pk)
        self._foreseen: Foreseen | None = None
        self.fence: Fence | None = None
        """What was registered for it ahead, in autocommit."""

    def take(self) -> Fence | None:
        fence, self.fence = self.fence, None
        return fence

    def appended(self) -> Appended:
        """As a statement that tells its rows."""
        text = self.text
        telling = Telling(text.connection, text.policy, database=text.database)
        telling.concerned, telling.ahead = self, self.take
        return Appended(telling, _OWN, text.told, BOTH)

    def rows(self) -> Sequence[str]:
        if self._spelled is None:
            return ()
        return (tag.row_tag(self.text.policy.label, self.text.database, self._spelled),)

    def foreseen(self) -> Foreseen | None:
        if self._foreseen is None:
            self._foreseen = self._foresee()
        return self._foreseen

    def _foresee(self) -> Foreseen | None:
        text, rows = self.text, self.rows()
        if not rows:
            return None
        found = text.lists.foreseen(rows[0], self._pk, self._given)
        if found is not None:
            return found
        set_to = dict(zip(text.attnames, self._given, strict=True))
        return foreseen(rows, set_to, text.policy, text.connection, text.database)

    def staying(self) -> Staying | None:
        found, spelled = self.foreseen(), self._spelled
        if found is None or found.row is None or spelled is None:
            return None
        if not self.text.sets_what_is_given:
            return None
        lists = sorted(found.tags.difference(self.rows()))
        return Staying(lists, self.text.entry + spelled, witness(found.row))


def _spelled(text: Text, pk: Any) -> str | None:
    """The primary key, as it stands in tags and keys; `None` for what is none."""
    narrowing = text.policy.pk
    if narrowing is None:
        return None
    if narrowing.kind == "integer" and type(pk) is int:
        return str(pk)
    try:
        (spelled,) = spellings(narrowing, [pk], text.connection)
    except NO_VALUE:
        return None
    return spelled


_OWN = Own(None, ())
"""A statement of Django's, who looks at its row count alone."""
