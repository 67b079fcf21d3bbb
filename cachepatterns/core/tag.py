"""Tags: the units of invalidation, built in one place for readers and writers alike.

That both sides call these functions, with values put into one canonical form, is what
the whole cache rests on: a reader that spelled a tag otherwise than a writer bumps it
would be stale for ever.

A tag is a string. ``@db`` names the database (not the alias: two aliases of one
database share their tags)::

    shop.product@3f2a             model tag: only coarse writes bump it
    shop.product@3f2a:*           any-row tag: every write bumps it
    shop.product@3f2a:ignored     bumped by writes of columns alone that the policy ignores
    shop.product@3f2a:pk=7        row tag
    shop.product@3f2a:category=5  field tag
    #                             every named tag: bumped when a writer died before it could tell
    #catalog                      the family of a named tag: bumped when it is not known which
    #catalog:5                    a named tag
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

NULL: Final = "NULL"
"""How `None` is spelled, whatever the kind; no other value is."""
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]{1,40}\Z")


class _Any:
    """The argument of a named tag that stands for 'whichever'."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()

ALL_NAMED: Final = "#"
"""Every entry with a named tag rests on this one too."""


def model_tag(label: str, database: str) -> str:
    return f"{label}@{database}"


def any_row_tag(label: str, database: str) -> str:
    return f"{label}@{database}:*"


def ignored_tag(label: str, database: str) -> str:
    return f"{label}@{database}:ignored"


def is_ignored_tag(tag: str) -> bool:
    return tag.endswith(":ignored") and not tag.startswith("#")


def field_tag(label: str, database: str, field: str, value: str) -> str:
    """The tag of all rows whose `field` holds `value`, given in `canonical` form."""
    return f"{label}@{database}:{field}={value}"


def row_tag(label: str, database: str, pk: str) -> str:
    return field_tag(label, database, "pk", pk)


def named_tags(name: str, *args: object) -> tuple[str, ...]:
    """The tags that an *entry* carries for the named tag ``tag(name, *args)``.

    The family first, so that a writer which cannot tell the arguments can still
    invalidate all of its members at once.
    """
    family = f"#{_safe(name)}"
    if not args:
        return (ALL_NAMED, family)
    return (ALL_NAMED, family, f"{family}:{':'.join(_safe(_spell(a)) for a in args)}")


def standing_tags(tag: str) -> tuple[str, ...]:
    """The tags an entry carries for a named tag that `tag` has built.

    Raises `ValueError` for a text that it has not: nobody would ever invalidate it.
    """
    if not isinstance(tag, str) or not tag.startswith("#"):
        raise ValueError(f"{tag!r} is no tag; make one with cachepatterns.tag(…).")
    family = tag.partition(":")[0]
    return (ALL_NAMED, family) if family == tag else (ALL_NAMED, family, tag)


def tag(name: str, *args: object) -> str:
    """A named tag, to be yielded by `affects` or given to `invalidate`.

    ``tag("catalog", 5)`` is one member, ``tag("catalog")`` or ``tag("catalog", ANY)``
    the whole family.
    """
    if any(a is ANY for a in args):
        return named_tags(name)[-1]
    return named_tags(name, *args)[-1]


def label_of(tag: str) -> str:
    """The model label a tag belongs to, or the family of a named tag."""
    return tag.partition("@")[0] if not tag.startswith("#") else tag.partition(":")[0]


def count_of(label: str, tags: Iterable[str]) -> int:
    """How many of the tags `label_of` says this of."""
    if label.startswith("#"):
        return [*map(label_of, tags)].count(label)
    head = label + "@"
    return len([tag for tag in tags if tag.startswith(head)])


# -- canonical values ---------------------------------------------------------------------


def _integer(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is no integer")
    return str(int(value))


def _boolean(value: Any) -> str:
    if value in (True, 1, "1", "t", "true"):
        return "1"
    if value in (False, 0, "0", "f", "false"):
        return "0"
    raise ValueError(f"{value!r} is no boolean")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return _safe(_content(value))


def _secret(value: Any) -> str:
    """A text that lets people in, such as the key of a session: never as it is."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return _digest(_content(value))


def _content(text: str) -> str:
    """What a text holds, which is what the database is sent: `str()` of a member of
    ``class Slug(str, Enum)`` names the member."""
    return text if type(text) is str else str.__str__(text)


def _uuid(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return value.hex
    return uuid.UUID(_content(value) if isinstance(value, str) else str(value)).hex


def _date(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        raise ValueError(f"{value!r} is no date")
    return (
        value.isoformat()
        if isinstance(value, datetime.date)
        else _date(datetime.date.fromisoformat(value))
    )


CANONICAL: Final[dict[str, Callable[[Any], str]]] = {
    "integer": _integer,
    "boolean": _boolean,
    "text": _text,
    "secret": _secret,
    "uuid": _uuid,
    "date": _date,
}
"""The kinds of database values that have one spelling per value.

Decimals, floats and datetimes do not (``1.0`` equals ``1.00`` in SQL), so a tag can not
be built from them.
"""


def canonical(kind: str, value: Any) -> str:
    """The one spelling of a database value in a tag; ``NULL`` for `None`.

    Raises `ValueError` or `TypeError` for a value that is not of its kind.
    """
    return NULL if value is None else CANONICAL[kind](value)


def _spell(value: object) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, str):
        return _content(value)
    if isinstance(value, int):
        return str(int(value))
    pk = getattr(value, "pk", None)
    return str(pk) if pk is not None else str(value)


def _safe(text: str) -> str:
    """`text` itself where it is short and plain, else a digest of it."""
    if _PLAIN.match(text) and text != NULL:
        return text
    return _digest(text)


def _digest(text: str) -> str:
    return "~" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
