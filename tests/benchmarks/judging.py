"""Whether what a contender answered is what Django answers without a cache, and what it is worth.

Nothing here measures, or needs a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.db import models

Asked = tuple[int, Any]
"""The number of an argument, and what was answered to it."""


def same(answer: Any, true: Any) -> bool:
    """Whether two answers are equal, in their types too; rows in their columns and in the rows
    that are linked to them."""
    if type(answer) is not type(true):
        return False
    if isinstance(true, models.Model):
        values_of = _values_of(type(true))
        found, wanted = values_of(answer), values_of(true)
        linked, links = answer._state.fields_cache, true._state.fields_cache
        return (
            found == wanted
            and [*map(type, found)] == [*map(type, wanted)]
            and linked.keys() == links.keys()
            and all(same(linked[name], links[name]) for name in links)
        )
    if isinstance(true, dict):
        return answer.keys() == true.keys() and all(same(answer[key], true[key]) for key in true)
    if isinstance(true, (list, tuple)):
        return len(answer) == len(true) and all(map(same, answer, true))
    return bool(answer == true)


@lru_cache
def _values_of(model: type[models.Model]) -> Any:
    return attrgetter(*(field.attname for field in model._meta.concrete_fields))


def wrong(kept: Iterable[Asked], true: Mapping[int, Any]) -> list[int]:
    """The numbers of the arguments that were answered wrongly; one that `true` lacks is too."""
    return [n for n, answer in kept if n not in true or not same(answer, true[n])]


def is_one_load(queries: Sequence[int], answers: Sequence[Sequence[Any]], true: Any) -> bool:
    """Whether each herd, of which `queries` and `answers` (one per thread) are told, made exactly
    one query, and all of it were answered with that herd's entry of `true`."""
    return all(number == 1 for number in queries) and are_right(answers, true)


def are_right(answers: Sequence[Sequence[Any]], true: Sequence[Any]) -> bool:
    """Whether everyone of each herd was answered, and with that herd's entry of `true`."""
    return len(answers) == len(true) and all(
        said and all(same(one, wanted) for one in said)
        for said, wanted in zip(answers, true, strict=True)
    )
