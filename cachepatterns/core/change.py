"""Changes: what a write did to one row, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachepatterns.core.tag import ANY


class RowValues:
    """A row's values by attribute (``values.category_id``), as the database told them."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"The row has no column {name!r}; it has {', '.join(sorted(self._values))}."
            ) from None

    def __repr__(self) -> str:
        return f"RowValues({dict(self._values)!r})"


class UnknownValues(RowValues):
    """A row of which nothing is known: every attribute is `ANY`."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__({})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return ANY


UNKNOWN = UnknownValues()


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a write did to one row.

    ``before`` is what the database held, not what an instance had once loaded; ``None``
    for an insert. ``after`` is ``None`` for a delete. Where the database could not tell
    (raw SQL, cascades, databases without ``RETURNING OLD``) both are unknown: every
    attribute is `ANY`, every field counts as changed, and a tag built from `ANY`
    invalidates its whole family.
    """

    model: type
    pk: Any
    before: RowValues | None
    after: RowValues | None
    using: str
    source: str

    @property
    def unknown(self) -> bool:
        """Whether the write could not be told row by row."""
        return self.before is UNKNOWN

    def changed(self, *fields: str) -> bool:
        """Whether any of `fields` (names or attnames) differs between before and after."""
        if self.unknown or self.before is None or self.after is None:
            return True
        return any(self._differs(name) for name in fields)

    def _differs(self, name: str) -> bool:
        attname = self.model._meta.get_field(name).attname  # type: ignore[attr-defined]
        return bool(getattr(self.before, attname) != getattr(self.after, attname))
