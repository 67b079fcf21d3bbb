"""A fragment of a template: the text of a block, under its name and all that tells it from others.

What a block shows may come from anywhere in its context. What tells two visitors apart (the
request, the user, whatever context processors make of them) is withheld from it unless it varies
on that (`withheld`), so no page can show what was rendered for somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Manager, QuerySet
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cachepatterns.computed.asking import Wanted, answer
from cachepatterns.computed.identity import NoIdentityError, spelled
from cachepatterns.computed.resting import Resting
from cachepatterns.computed.values import Values
from cachepatterns.core.tag import tag
from cachepatterns.exceptions import NoIdentity
from cachepatterns.read.options import ReadOptions
from cachepatterns.read.plans import plain
from cachepatterns.resolving import check_lifetime

LABEL = "fragment"
"""What fragments stand under in the statistics, their names being the patterns."""


def fragment(
    name: str,
    render: Callable[[], str],
    *,
    source: str,
    vary_on: Sequence[Any] = (),
    depends_on: Sequence[Any] = (),
    tier: str | None = None,
    ttl: float | None = None,
    version: Any = 1,
    autoescape: bool = True,
) -> SafeString:
    """The text of the block, from the cache or by `render()`.

    `source` tells the block from others of its name, in this and in other versions of the
    template. Rows and querysets among `depends_on` tell it apart, too; where it is empty
    the block depends on any row of what it reads.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"The name of a cached block is a text, not {name!r}.")
    check_lifetime(tier, ttl)
    resting = Resting()
    given = [_named(each, name) for each in _flat(depends_on)]
    resting.all(given)
    varies = [_told(each, name) for each in (*vary_on, *filter(_tells_apart, given))]
    wanted = Wanted(
        name=f"fragment.{name}",
        parts=(source, spelled(version), str(tier), str(ttl), *_surroundings(autoescape), *varies),
        own_tag=tag(name),
        resting=resting,
        options=ReadOptions(tier=tier, ttl=ttl),
        values=_values,
        pattern=name,
        label=LABEL,
        learns=not given,
    )
    return mark_safe(answer(wanted, lambda: str.__str__(render())))


_values = Values("cached block")


def _surroundings(autoescape: bool) -> Iterable[str]:
    """What changes how everything is rendered."""
    return (str(get_language()), get_current_timezone_name(), str(autoescape))


def _flat(given: Iterable[Any]) -> Iterable[Any]:
    for each in given:
        if isinstance(each, (list, tuple, set, frozenset)):
            yield from _flat(each)
        elif each is not None and each != "":
            yield each


def _named(each: Any, name: str) -> Any:
    """What a template names: ``"shop.Product"`` is a model, any other text a named tag."""
    if isinstance(each, Manager):
        return each.all()
    if isinstance(each, models.Model):
        return getattr(each, "_wrapped", each)  # behind a lazy object
    if not isinstance(each, str) or each.startswith("#"):
        return each
    if "." not in each:
        return tag(each)
    try:
        return apps.get_model(each)
    except (LookupError, ValueError):
        raise ValueError(
            f"The cached block {name!r} depends on {each!r}, and there is no such model."
        ) from None


def _tells_apart(each: Any) -> bool:
    return isinstance(each, (models.Model, QuerySet))


def _told(each: Any, name: str) -> str:
    if isinstance(each, QuerySet):
        query = plain(each.query)
        return f"{each.db}: {query}"
    try:
        return spelled(each)
    except NoIdentityError as error:
        raise NoIdentity(
            f"The cached block {name!r} varies on {error}. Name what it is known by: its primary "
            "key, a text, a number."
        ) from None
