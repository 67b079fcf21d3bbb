"""Querysets that note how they are to be built, and build their query when it is asked for.

A hit on a query of a known shape needs no query, so none is built for it: `filter()` and the
other methods below note the call where `read.recipe` allows it, and let Django do its work where
it does not. Whoever asks for `queryset.query`, whatever for, gets the query that Django builds of
the same calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.db.models.sql import Query

from cachepatterns.building import LaterQuery, MayChangeItsClass, carried_out
from cachepatterns.conf import config
from cachepatterns.query import CachedQuery
from cachepatterns.read.recipe import Call, Key, Recipe, beginning, bounds, condition, learn

_LATER: Any = object()
"""Given to Django's `QuerySet` instead of a query; never seen by anybody."""

_blank = dict(vars(QuerySet(query=_LATER)))
del _blank["_query"]
_USUAL = len(_blank) + 1  # with the recipe
_handed_on = (
    "model",
    "_db",
    "_sticky_filter",
    "_for_write",
    "_prefetch_related_lookups",
    "_known_related_objects",
    "_iterable_class",
    "_fields",
    *({"_fetch_mode"} & {*_blank}),
)
"""What Django's `_clone` hands on to the clone, beside query and hints."""
_kept_back = {name: _blank[name] for name in _blank.keys() - {*_handed_on, "_hints"}}

_NOTED = (
    "filter",
    "exclude",
    "__getitem__",
    "order_by",
    "reverse",
    "distinct",
    "values",
    "values_list",
    "select_related",
    "only",
    "defer",
)
_BUILDERS = (
    "__init__",
    "query",
    "_chain",
    "_clone",
    "_values",
    "_filter_or_exclude",
    "_filter_or_exclude_inplace",
    "_not_support_combined_queries",
)
"""Django's methods beneath those: a class that has one of them of its own does not note."""


def _begun(model: Any, using: Any, hints: Any, recipe: Recipe) -> dict[str, Any]:
    """What Django's `__init__` gives a queryset, with a recipe for a query."""
    begun = _blank.copy()
    begun["model"] = model
    begun["_db"] = using
    begun["_hints"] = hints or {}
    begun["_known_related_objects"] = {}  # added to in place
    begun["_cachepatterns_calls"] = recipe
    return begun


class NotingMixin(MayChangeItsClass):
    """The methods that are noted. What a class does otherwise than Django is never passed by:
    see `CachedQuerySetMixin._notes_calls`.

    It stands before classes of anybody's: what it calls its own must not be what they would."""

    model: Any
    _result_cache: Any
    _query: Any = LaterQuery()
    _notes_calls: bool
    """Whether building is Django's own work in this class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self._notes_calls and config().SHORTCUTS:
            self._begin_noting(*args, **kwargs)
            return
        super().__init__(*args, **kwargs)
        query = self._query
        if type(query) is Query and not any(a is query for a in (*args, *kwargs.values())):
            query.__class__ = CachedQuery  # the one it has made for itself a moment ago

    def _begin_noting(
        self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None
    ) -> None:
        if query is None and model is not None:
            self.__dict__ = _begun(model, using, hints, beginning(model))
            return
        super().__init__(model, CachedQuery(model) if query is None else query, using, hints)  # type: ignore[call-arg]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, QuerySet):
            after = cls.__mro__[cls.__mro__.index(NotingMixin) + 1 :]
            cls._notes_calls = is_django_s(after, _NOTED) and is_django_s(cls.__mro__, _BUILDERS)

    @classmethod
    def _noted_filter(
        cls, model: Any, using: Any, hints: Any, conditions: Mapping[str, Any]
    ) -> Any:
        """``filter(**conditions)`` of all rows of `model`; `None` if Django is to carry it out."""
        told = condition("filter", conditions)
        if told is None or not cls._notes_calls or not config().SHORTCUTS:
            return None
        key, values = told
        step = beginning(model).step.following.get(key)
        if step is None or not step.is_in_force():
            return None
        queryset: Any = object.__new__(cls)
        recipe = Recipe(step, (("filter", (), conditions),), values)
        queryset.__dict__ = _begun(model, using, hints, recipe)
        return queryset

    @property
    def _cachepatterns_recipe(self) -> Recipe | None:
        """How the query is to be built; `None` once that is done."""
        known = self.__dict__
        if "_query" in known or known["_deferred_filter"]:
            return None
        return known.get("_cachepatterns_calls")

    # -- noting -------------------------------------------------------------------------------

    def _noted_call(self, key: Key, values: tuple[Any, ...], call: Call) -> Any:
        """A clone on which the call is noted; `None` if Django is to carry it out."""
        known = self.__dict__
        if "_query" in known or known["_sticky_filter"] or known["_defer_next_filter"]:
            return None
        recipe: Recipe | None = known.get("_cachepatterns_calls")
        if recipe is None or known["_deferred_filter"] or not known.get("_cloning_enabled", True):
            return None
        try:
            step = recipe.step.following[key]
        except KeyError:
            return self._first_call(recipe, key, values, call)
        if step is None:
            return None
        if not step.is_in_force():
            return self._first_call(recipe, key, values, call)
        clone = self._like_this(Recipe(step, (*recipe.calls, call), recipe.values + values))
        if step.attributes is not None:
            clone._fields, clone._iterable_class = step.attributes
        return clone

    def _first_call(self, recipe: Recipe, key: Key, values: tuple[Any, ...], call: Call) -> Any:
        """Django carries out a call of which it is not known yet what to think."""
        method, args, kwargs = call
        built = getattr(super(), method)(*args, **kwargs)
        learn(recipe, key, values, call, built, lambda calls: carried_out(self.model, calls))
        return built

    def _clone(self) -> Any:
        recipe = self._cachepatterns_recipe
        return super()._clone() if recipe is None else self._like_this(recipe)  # type: ignore[misc]

    def _like_this(self, recipe: Recipe) -> Any:
        """As Django's `_clone`, with a recipe for a query."""
        ours = self.__dict__
        if len(ours) == _USUAL:
            theirs = ours.copy()
            theirs.pop("_query", None)  # which another thread may have built since
            theirs.update(_kept_back)
        else:  # somebody has left something here, for this one alone
            theirs = {**_blank, **{name: ours[name] for name in _handed_on}}
        theirs["_cachepatterns_calls"] = recipe
        theirs["_hints"] = ours["_hints"] or {}  # they are added to
        clone: Any = object.__new__(type(self))
        clone.__dict__ = theirs
        return clone

    def _called_by_names(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """`method` with nothing but names for arguments."""
        if set(map(type, args)) <= _TEXT:
            found = self._noted_call((method, *args, *kwargs.items()), (), (method, args, kwargs))
            if found is not None:
                return found
        return getattr(super(), method)(*args, **kwargs)

    # -- what is noted --------------------------------------------------------------------------

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        told = None if args else condition("filter", kwargs)
        found = None if told is None else self._noted_call(*told, ("filter", args, kwargs))
        return super().filter(*args, **kwargs) if found is None else found  # type: ignore[misc]

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        told = None if args else condition("exclude", kwargs)
        found = None if told is None else self._noted_call(*told, ("exclude", args, kwargs))
        return super().exclude(*args, **kwargs) if found is None else found  # type: ignore[misc]

    def __getitem__(self, k: Any) -> Any:
        told = bounds(k) if type(k) is slice and self._result_cache is None else None
        found = None if told is None else self._noted_call(*told, ("__getitem__", (k,), {}))
        return super().__getitem__(k) if found is None else found  # type: ignore[misc]

    def order_by(self, *field_names: Any) -> Any:
        return self._called_by_names("order_by", *field_names)

    def reverse(self) -> Any:
        return self._called_by_names("reverse")

    def distinct(self, *field_names: Any) -> Any:
        return self._called_by_names("distinct", *field_names)

    def select_related(self, *fields: Any) -> Any:
        return self._called_by_names("select_related", *fields)

    def only(self, *fields: Any) -> Any:
        return self._called_by_names("only", *fields)

    def defer(self, *fields: Any) -> Any:
        return self._called_by_names("defer", *fields)

    def values(self, *fields: Any, **expressions: Any) -> Any:
        if expressions:
            return super().values(*fields, **expressions)  # type: ignore[misc]
        return self._called_by_names("values", *fields)

    def values_list(self, *fields: Any, flat: bool = False, named: bool = False) -> Any:
        if named or not fields:
            return super().values_list(*fields, flat=flat, named=named)  # type: ignore[misc]
        return self._called_by_names("values_list", *fields, flat=bool(flat))

    def _not_support_combined_queries(self, operation_name: str) -> None:
        if self._cachepatterns_recipe is None:  # else it is none: that is not noted
            super()._not_support_combined_queries(operation_name)  # type: ignore[misc]

    # -- copies -----------------------------------------------------------------------------------

    def __deepcopy__(self, memo: Any) -> Any:
        _ = self._query  # copied as Django copies it; a recipe is nobody's but its queryset's
        return super().__deepcopy__(memo)  # type: ignore[misc]

    def __getstate__(self) -> Any:
        _ = self._query
        return super().__getstate__()


_TEXT = {str}


def is_django_s(classes: Any, names: Any) -> bool:
    """Whether of these classes none but Django's `QuerySet`, and ours, define one of the names."""
    own = (QuerySet, object)
    return not any(
        name in vars(cls)
        for cls in classes
        if cls not in own and not cls.__module__.startswith("cachepatterns.")
        for name in names
    )
