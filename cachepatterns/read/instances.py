"""From raw rows to model instances: through `from_db`, or past it where that is the same.

Django calls the model's ``__init__`` for every row, which sets every attribute through its
descriptor and sends two signals. Where all of that is stock (`is_stock`), an instance is its
dictionary, and is made by filling it: several times as fast, and equal in every attribute,
which a test compares.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import django
from django.db import models
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from django.utils.inspect import func_accepts_kwargs, func_supports_parameter

from cachepatterns.conf import config

FETCH_ONE = getattr(models, "FETCH_ONE", None)
"""What a deferred access does unless told otherwise; from Django 6.1 on each instance knows."""

Make = Callable[[Sequence[Any]], models.Model]


MakeAll = Callable[[Iterable[Sequence[Any]]], list[Any]]


def maker(model: type[models.Model], attnames: Sequence[str], using: str) -> Make:
    """A function from the raw values of `attnames` to an instance of `model`."""
    return _made_by(model, tuple(attnames), using)[0]


def maker_of_all(model: type[models.Model], attnames: Sequence[str], using: str) -> MakeAll:
    """The same of many rows: a call for each would cost as much as some of its attributes."""
    return _made_by(model, tuple(attnames), using)[1]


def _made_by(
    model: type[models.Model], names: tuple[str, ...], using: str
) -> tuple[Make, MakeAll]:
    if config().SHORTCUTS and is_stock(model) and not _is_listened_to(model):
        filler = _filler(model, names, using)
        if filler is not None:
            return filler
    from_db: Any = model.from_db
    if FETCH_ONE is not None:
        from_db = partial(from_db, fetch_mode=FETCH_ONE)

    def make(values: Sequence[Any]) -> models.Model:
        made: models.Model = from_db(using, list(names), list(values))
        return made

    return make, lambda rows: [make(row) for row in rows]


@lru_cache(maxsize=1024)
def _filler(
    model: type[models.Model], names: tuple[str, ...], using: str
) -> tuple[Make, MakeAll] | None:
    """Makes instances by filling their dictionaries; `None` for some of the fields only."""
    if list(names) != [field.attname for field in model._meta.concrete_fields]:
        return None
    # Written out name by name, as `namedtuple` and `dataclass` do: a loop over them takes twice
    # as long. The code holds the names of the model's own fields, quoted, and nothing else that
    # anybody could have put in; values are only ever its arguments.
    body = ["state = new(ModelState)"]
    if any(field.is_relation for field in model._meta.concrete_fields):
        body.append("state.fields_cache = {}")  # setting a foreign key looks into it
    body += ["state.adding = False", "state.db = using"]
    if FETCH_ONE is not None:
        body.append("state.fetch_mode = FETCH_ONE")
    body += [
        "made = new(model)",
        "made._state = state",
        "held = made.__dict__",
        f"({''.join(f'held[{name!r}], ' for name in names)}) = values",
    ]
    lines = ["def fill(values):", *(f"    {line}" for line in body), "    return made"]
    lines += ["def fill_all(rows):", "    found = []", "    for values in rows:"]
    lines += [*(f"        {line}" for line in body), "        found.append(made)"]
    lines.append("    return found")
    known: dict[str, Any] = {
        "new": object.__new__,
        "model": model,
        "using": using,
        "ModelState": ModelState,
        "FETCH_ONE": FETCH_ONE,
    }
    exec(compile("\n".join(lines), f"<instances of {model._meta.label}>", "exec"), known)
    return known["fill"], known["fill_all"]


def is_stock_fetch_mode(queryset: Any) -> bool:
    """Django 6.1 lets a queryset choose what a deferred access does; ours keep the default."""
    return getattr(queryset, "_fetch_mode", FETCH_ONE) is FETCH_ONE


def _is_listened_to(model: type[models.Model]) -> bool:
    """Whether somebody wants to hear of every instance that is made."""
    return bool(
        (pre_init.receivers and pre_init.has_listeners(model))
        or (post_init.receivers and post_init.has_listeners(model))
    )


_stock: Any = models.Model
_INIT, _FROM_DB = _stock.__init__, _stock.from_db.__func__


def is_stock(model: type[models.Model]) -> bool:
    """Whether making an instance of `model` does nothing but what Django's own code does."""
    loads: Any = model.from_db
    # Asked each time: libraries, and tests, put another one in its place late.
    return (
        model.__init__ is _INIT
        and loads.__func__ is _FROM_DB
        and model.__setattr__ is object.__setattr__
        and _is_plain(model)
    )


@lru_cache(maxsize=1024)
def _is_plain(model: type[models.Model]) -> bool:
    """Whether the rest of it is as Django's own, which nobody changes later."""
    stock: Any = models.Model
    mro = model.__mro__
    below = mro[mro.index(stock) + 1 :]  # whom Model.__init__ hands on to
    return (
        model.__new__ is object.__new__
        and type(model).__call__ is type.__call__
        and all("__init__" not in vars(cls) for cls in below if cls is not object)
        and all(
            type(inspect.getattr_static(model, field.attname, None))
            in (DeferredAttribute, ForeignKeyDeferredAttribute)
            for field in model._meta.concrete_fields
        )
    )


def has_outdated_from_db(model: type[models.Model]) -> bool:
    """Whether its `from_db` takes no fetch mode, of which Django is to warn."""
    if FETCH_ONE is None:
        return False
    from_db = model.from_db
    return not (func_supports_parameter(from_db, "fetch_mode") or func_accepts_kwargs(from_db))


LEAVES_DEFERRED = django.VERSION >= (6, 1)
"""Whether Django leaves an object out whose key is deferred; before 6.1 it fetches the key."""


def link_known(queryset: Any, found: Iterable[Any]) -> None:
    """Set the objects that a related manager's queryset knows already, as Django does."""
    known = [
        (field, objects, _attnames(queryset.model, field))
        for field, objects in queryset._known_related_objects.items()
    ]
    for made in found:
        for field, objects, names in known:
            if field.is_cached(made):
                continue  # joined by select_related
            if LEAVES_DEFERRED and any(name not in made.__dict__ for name in names):
                continue
            key = operator.attrgetter(*names)(made)  # fetched, if it is deferred
            if key in objects:  # of combined querysets there may be others
                setattr(made, field.name, objects[key])


def _attnames(model: type[models.Model], field: Any) -> list[str]:
    meta: Any = model._meta
    return [
        (field if name == "self" else meta.get_field(name)).attname for name in field.from_fields
    ]


class Instances:
    """How the rows of one compiled SELECT become instances, with what `select_related` joined."""

    def __init__(self, compiler: Any, using: str) -> None:
        self._compiler = compiler
        self._converters = compiler.get_converters(
            [column[0] for column in compiler.select[: compiler.col_count]]
        )
        self._using = using

    def __call__(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """The instances of a query for a model's rows."""
        return self._root.all(self.converted(rows))

    @property
    def are_django_s_to_make(self) -> bool:
        """Whether one of the models is not to be made here (`has_outdated_from_db`)."""
        return any(map(has_outdated_from_db, _models(self._compiler.klass_info)))

    @cached_property
    def _root(self) -> _Part:
        return _Part(self._compiler.klass_info, self._compiler.select, self._using)

    def converted(self, rows: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]]:
        """The rows with their fields' converters applied, as `values_list` gives them."""
        if not self._converters:
            return rows
        converted: Iterable[Sequence[Any]] = self._compiler.apply_converters(
            rows, self._converters
        )
        return converted


def _models(info: Any) -> Iterator[type[models.Model]]:
    if info:
        yield info["model"]
        for part in info.get("related_klass_infos", []):
            yield from _models(part)


class _Part:
    """One model of the joined ones: its slice of the row, and the models that hang on it."""

    def __init__(self, info: Any, select: Any, using: str) -> None:
        chosen = info["select_fields"]
        model = info["model"]
        names = [select[index][0].target.attname for index in chosen]
        if info.get("from_parent"):
            # A child's columns come where its parent's stood: in the order of the model.
            places = dict(zip(names, chosen, strict=True))
            names = [f.attname for f in model._meta.concrete_fields if f.attname in places]
            chosen = [places[name] for name in names]
        self._model, self._names, self._using = model, names, using
        self._slice = _slice(chosen)
        # Without its primary key a joined model is not there at all.
        self._pk = names.index(model._meta.pk_fields[0].attname) if "local_setter" in info else -1
        self._local_setter = info.get("local_setter")
        self._remote_setter = info.get("remote_setter")
        self._parts = [_Part(part, select, using) for part in info.get("related_klass_infos", [])]
        self._whole = not self._parts and chosen == list(range(len(select)))

    def all(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        if not self._parts:
            make_all = maker_of_all(self._model, self._names, self._using)
            return make_all(rows if self._whole else map(self._slice, rows))
        make, cut = maker(self._model, self._names, self._using), self._slice
        adders = [part.adder() for part in self._parts]
        found = []
        for row in rows:
            made = make(cut(row))
            for add in adders:
                add(row, made)
            found.append(made)
        return found

    def adder(self) -> Callable[[Sequence[Any], Any], None]:
        """A function that makes the related instance of a row, and links the two."""
        make = maker(self._model, self._names, self._using)
        cut, pk = self._slice, self._pk
        local, remote = self._local_setter, self._remote_setter
        adders = [part.adder() for part in self._parts]

        def add(row: Sequence[Any], owner: Any) -> None:
            values = cut(row)
            if values[pk] is None:
                local(owner, None)
                return
            made = make(values)
            for further in adders:
                further(row, made)
            local(owner, made)
            remote(made, owner)

        return add


def _slice(chosen: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    first, count = chosen[0], len(chosen)
    if list(chosen) == list(range(first, first + count)):
        stop = first + count
        return lambda row: row[first:stop]
    return lambda row: [row[index] for index in chosen]
