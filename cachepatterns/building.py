"""The query of a queryset that was noted only (`noting`): built when somebody looks for it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from cachepatterns.query import CachedQuery
from cachepatterns.read.recipe import Call


class LaterQuery:
    """The query of a queryset that has none yet: built when it is first looked for, and kept."""

    def __get__(self, queryset: Any, owner: Any = None) -> Any:
        if queryset is None:
            return self
        known = vars(queryset)
        recipe = known.get("_cachepatterns_calls")
        if recipe is not None:
            built = carried_out(queryset.model, recipe.calls).query
            # One for all threads that share the queryset, and there before the recipe is gone.
            known.setdefault("_query", built)
            known.pop("_cachepatterns_calls", None)
        try:
            return known["_query"]
        except KeyError:
            raise AttributeError("_query") from None


class MayChangeItsClass:
    """A queryset that somebody makes one of another class has its query before that: classes that
    are not ours can not build it later."""

    @property
    def __class__(self) -> Any:
        return type(self)

    @__class__.setter
    def __class__(self, cls: Any) -> None:
        _ = self._query  # type: ignore[attr-defined]
        _set_class(self, cls)


_set_class: Any = vars(object)["__class__"].__set__


def carried_out(model: Any, calls: tuple[Call, ...]) -> Any:
    """A queryset of Django's own on which the calls were made."""
    queryset: Any = QuerySet(model, query=CachedQuery(model))
    for method, args, kwargs in calls:
        queryset = getattr(queryset, method)(*args, **kwargs)
    return queryset
