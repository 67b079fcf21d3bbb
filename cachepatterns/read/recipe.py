"""Recipes: the calls by which a queryset came about, while nobody has asked for its query.

Django builds a query call by call, which takes longer than asking Redis for its answer. Nearly
all of these calls were made before, with other values of the same kinds. So they are noted, and
carried out only where somebody wants the query itself (`cachepatterns.noting`).

A `Step` is one such call after others. It is learnt from a query that Django has built, and only
where noting it can make no difference:

* the query has a shape (`read.shape`), so nothing in it is unknown;
* its values are the very ones that were given, each in a place that does not depend on them, which
  is found out by building it once more with probes (`_places`);
* the fields they are compared with are Django's own, and take any value of that kind (`_takes`):
  what Django refuses, it has refused at once.

Everything else is built by Django, call by call, as ever.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import msgspec
from django.db import models

from cachepatterns.core.sqltext import may_mean_now
from cachepatterns.observe import BurstLog
from cachepatterns.policy import AUTO_FIELDS, INTEGER_FIELDS, TEXT_FIELDS
from cachepatterns.read.conditions import lookups_of, referred
from cachepatterns.read.shape import shape_of

MAX_STEPS = 4000
"""Steps that a process remembers, of all models; then it learns anew."""

Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]
"""A method's name, and its arguments."""

Key = tuple[Hashable, ...]
"""What a call is but for its values: the method, names, and the kinds of the values."""

log = BurstLog()


class Step:
    """A call, with arguments of certain kinds, after the steps before it; or none yet."""

    __slots__ = ("attributes", "fields", "following", "is_begin", "is_sliced", "lookups", "places")

    def __init__(
        self,
        places: tuple[int, ...] = (),
        attributes: tuple[Any, type] | None = None,
        fields: tuple[Any, ...] = (),
        *,
        is_begin: bool = False,
        is_sliced: bool = False,
    ) -> None:
        self.following: dict[Key, Step | None] = {}
        """The steps known to come after it; `None` for those that are not to be noted."""
        self.places = places
        """Where the recipe's values stand among its shape's."""
        self.attributes = attributes
        """What ``values()`` and its like set on the queryset: its fields, its iterable."""
        self.is_begin = is_begin
        self.is_sliced = is_sliced
        self.fields = fields
        self.lookups = _lookups()

    def is_in_force(self) -> bool:
        """Whether the names of lookups still mean what they meant when it was learnt."""
        if self.lookups is not _lookups():
            return False
        for field in self.fields:  # noqa: SIM110 - a generator would cost more than they do
            if "instance_lookups" in field.__dict__:
                return False
        return True


_lookups: Callable[[], Any] = models.Field.get_class_lookups
"""Gives another object whenever a lookup was registered, with whatever class of fields."""


class Recipe(msgspec.Struct, frozen=True, gc=False):
    """The last of the steps, all calls, and the values in them."""

    step: Step
    calls: tuple[Call, ...] = ()
    values: tuple[Any, ...] = ()

    def shaped(self) -> tuple[Any, ...]:
        """The values as `shape_of` would find them in the query."""
        values, places = self.values, self.step.places
        return values if len(values) < 2 else tuple([values[place] for place in places])


def condition(method: str, kwargs: Mapping[str, Any]) -> tuple[Key, tuple[Any, ...]] | None:
    """The key and the values of ``filter(**kwargs)``; `None` if one is of no known kind."""
    key: list[Hashable] = [method]
    values: list[Any] = []
    for name, value in kwargs.items():
        kind: Any = type(value)
        if kind is bool:
            kind = value  # as in shapes
        elif kind in _PLAIN or (kind in _SOME and _SOME[kind](value)):
            values.append(value)
        else:
            return None
        key.append(name)
        key.append(kind)
    return tuple(key), tuple(values)


def bounds(given: slice) -> tuple[Key, tuple[Any, ...]] | None:
    """The same of ``[first:stop]``; `None` where Django may have something to say to it."""
    start, stop = given.start, given.stop
    if given.step is not None or (start is stop is None):
        return None
    if not (start is None or (type(start) is int and start >= 0)):
        return None
    if not (stop is None or (type(stop) is int and stop > (start or 0))):
        return None
    values = tuple(mark for mark in (start, stop) if mark is not None)
    return ("__getitem__", start is None, stop is None), values


def beginning(model: type[models.Model]) -> Recipe:
    """The recipe of all rows of `model`."""
    found = _beginnings.get(model)
    if found is None:
        _count_one()
        found = _beginnings[model] = Recipe(Step(is_begin=True))
    return found


_beginnings: dict[type[models.Model], Recipe] = {}
_learnt = 0


def _count_one() -> None:
    global _learnt
    _learnt += 1
    if _learnt > MAX_STEPS:
        # What was noted already stays good: it is carried out by its calls.
        _learnt = 0
        _beginnings.clear()


Build = Callable[[tuple[Call, ...]], Any]


def learn(
    before: Recipe, key: Key, values: tuple[Any, ...], call: Call, built: Any, build: Build
) -> None:
    """Remember whether `call` may be noted from now on: Django has just carried it out, and
    returned `built`. `build` does so from the beginning."""
    _count_one()
    step = None
    try:
        calls, known = (*before.calls, call), (*before.values, *values)
        step = _step(before, calls, known, built, build)
    except Exception:  # the call was made and answered: nobody needs to hear of this
        log.log("cachepatterns could not learn the step %s", key, exc_info=True)
    before.step.following[key] = step


def _step(
    before: Recipe, calls: tuple[Call, ...], values: tuple[Any, ...], built: Any, build: Build
) -> Step | None:
    slices = calls[-1][0] == "__getitem__"
    if slices and before.step.is_sliced:
        return None  # its bounds would depend on those before
    told = shape_of(built.query)
    if told is None or sorted(map(repr, told[1])) != sorted(map(repr, values)):
        return None
    lookups = list(lookups_of(built.query))
    fields = {field for lookup in lookups for field in referred(lookup.lhs.target)}
    if not all(map(_takes, lookups)) or any("instance_lookups" in vars(f) for f in fields):
        return None
    places = _places(told, values, build(_with_probes(calls)).query)
    if places is None:
        return None
    selects = calls[-1][0] in _SELECTING
    return Step(
        places,
        (built._fields, built._iterable_class) if selects else None,
        tuple(fields),
        is_sliced=before.step.is_sliced or slices,
    )


_SELECTING = frozenset({"values", "values_list"})


def _places(told: tuple[Any, Any], values: tuple[Any, ...], probed: Any) -> tuple[int, ...] | None:
    """Where each of the shape's values stands among the given ones, which `probed` tells: the
    same query of probes. `None` if that depends on more than the kinds of the values."""
    other, probes = shape_of(probed), list(_probes(values))
    if other is None or other[0] != told[0] or set(other[1]) != set(probes):
        return None
    places = tuple(map(probes.index, other[1]))
    given = [values[place] for place in places]
    return places if repr(given) == repr(list(told[1])) else None


_PROBE: dict[type, Callable[[int], Any]] = {
    int: lambda n: 1_000_000 + n,
    str: lambda n: f"probe {n}",
    float: lambda n: 0.5 + n,
    decimal.Decimal: lambda n: decimal.Decimal(f"{2_000_000 + n}"),
    uuid.UUID: lambda n: uuid.UUID(int=n),
    datetime.date: lambda n: datetime.date(2000, 1, 1) + datetime.timedelta(n),
}
"""Values that are all different: the number of one tells its place."""


def _probes(values: tuple[Any, ...]) -> Iterator[Any]:
    for number, value in enumerate(values):
        yield _PROBE[type(value)](number)


def _with_probes(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The same calls with values that are all different."""
    number = 0

    def probe(value: Any) -> Any:
        nonlocal number
        if type(value) not in _PROBE:
            return value
        number += 1
        return _PROBE[type(value)](number - 1)

    found: list[Call] = []
    for method, args, kwargs in calls:
        if method in CONDITIONS:
            kwargs = {name: probe(value) for name, value in kwargs.items()}
        elif method == "__getitem__":
            args = (slice(probe(args[0].start), probe(args[0].stop)),)
        found.append((method, args, kwargs))
    return tuple(found)


CONDITIONS = frozenset({"filter", "exclude"})
"""The methods whose keyword arguments are conditions."""

_PLAIN = frozenset({int, uuid.UUID, datetime.date, float})
_SOME: dict[type, Callable[[Any], bool]] = {
    str: lambda text: not may_mean_now(text),
    decimal.Decimal: decimal.Decimal.is_finite,
}
"""Kinds of values, and whether one of them is as good as any other."""

_TAKEN: dict[type, type] = {
    **dict.fromkeys((*INTEGER_FIELDS, *AUTO_FIELDS), int),
    **dict.fromkeys(TEXT_FIELDS, str),
    models.FloatField: float,
    models.DecimalField: decimal.Decimal,
    models.UUIDField: uuid.UUID,
    models.DateField: datetime.date,
}
"""Of these kinds the fields take every value, and as it is."""


def _takes(lookup: Any) -> bool:
    """Whether a lookup takes every value of the kind that it has."""
    # A bool is part of the step: of them there is but one.
    return type(lookup.rhs) in (bool, _TAKEN.get(type(referred(lookup.lhs.target)[-1])))
