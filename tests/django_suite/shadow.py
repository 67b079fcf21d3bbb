"""Bends the product so that reads inside a test's transaction go through the cache.

A test's one connection writes and reads in turn, so for it a statement may count as committed as
soon as it has run: tags are bumped then, and reads after it must see it. What a rollback takes
back, no bump tells; so each rollback (and each commit, for other connections) makes all entries
unreachable, by another name of the source they were read from. Connections share no entries.

Every hit is compared with what the database says now. Running the statement also keeps the count
of `assertNumQueries` what it was. And what a miss has loaded is read once more from the cache, so
that whatever can be stored is seen by the tests as it comes back.
"""

from __future__ import annotations

from functools import wraps
from itertools import count
from typing import Any
from unittest import mock

import msgspec
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

_generations = count()


class Stale(AssertionError):
    """The cache answered otherwise than the database."""


class NotStored(Exception):
    """What was loaded a moment ago was not stored."""


def _not_stored() -> Any:
    raise NotStored


def install() -> None:
    """Put everything in place, for the life of this process."""
    from cachepatterns import queryset, sqlwatch
    from cachepatterns.read import compiler, direct, eligibility, raw, rowplans, rows
    from cachepatterns.write import dispatch

    for module in (dispatch, sqlwatch):
        _replace(module, "in_transaction", lambda connection: False)
    _replace(eligibility, "why_not_in_transaction", _why_not)
    for module in (compiler, direct, raw, rows):
        _replace(module, "read", _checked(module.read))
    _replace(rowplans, "source_id", _per_generation(rowplans.source_id))
    _replace(queryset, "get_rows", _checked_rows(queryset.get_rows))
    for name in ("rollback", "savepoint_rollback", "commit", "close"):
        _renew_after(name)


def _replace(target: Any, name: str, value: Any) -> None:
    mock.patch.object(target, name, value).start()


def _why_not(connection: BaseDatabaseWrapper) -> str:
    from cachepatterns.read.eligibility import _is_aborted

    return "broken transaction" if connection.needs_rollback or _is_aborted(connection) else ""


def _per_generation(source_id: Any) -> Any:
    @wraps(source_id)
    def renamed(connection: Any) -> str:
        return f"{source_id(connection)}{_generation(connection):x}"

    return renamed


def _generation(connection: Any) -> int:
    number: int = connection.__dict__.setdefault("_generation", next(_generations))
    return number


def _renew_after(name: str) -> None:
    method = getattr(BaseDatabaseWrapper, name)

    @wraps(method)
    def renewing(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:
            self.__dict__["_generation"] = next(_generations)
            self.__dict__.pop("_cachepatterns_row_plans", None)  # they hold keys

    _replace(BaseDatabaseWrapper, name, renewing)


def _checked(read: Any) -> Any:
    @wraps(read)
    def checked(question: Any, load: Any, *asker: Any, **more: Any) -> Any:
        loads = []
        number = _generation(connections[question.using])
        question = msgspec.structs.replace(question, key=f"{question.key}:{number:x}")

        def loaded() -> Any:
            loads.append(1)
            return load()

        rows = read(question, loaded, *asker, **more)
        if not loads:
            _compare(question.pattern, rows, load())
            return rows
        try:
            stored = read(question, _not_stored)
        except NotStored:
            return rows
        _compare(question.pattern, stored, rows)
        return stored

    return checked


def _checked_rows(get_rows: Any) -> Any:
    from cachepatterns.read.rowplans import RowPlan

    @wraps(get_rows)
    def checked(plan: Any, model: Any, values: Any) -> Any:
        loads, load = [], RowPlan.load

        def loaded(self: Any, *args: Any) -> Any:
            loads.append(1)
            return load(self, *args)

        with mock.patch.object(RowPlan, "load", loaded):
            found = get_rows(plan, model, values)
        if not loads:
            asked = {f"{plan.narrowing.field.attname}__in": values}
            truth = model._base_manager.using(plan.using).uncached().filter(**asked)
            _compare("in_bulk", [vars_of(row) for row in found.values()], map(vars_of, truth))
        return found

    return checked


def vars_of(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, field.attname) for field in row._meta.concrete_fields)


def _compare(what: str, cached: Any, truth: Any) -> None:
    said, true = _spelled(cached), _spelled(truth)
    if said != true and sorted(said) != sorted(true):
        raise Stale(f"{what}: the cache says {said}, the database {true}")


def _spelled(rows: Any) -> list[str]:
    return [repr([_plain(value) for value in row]) for row in rows]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
