"""What is kept from a cached block, because others will be shown what it renders.

Whatever touches it raises, and is remembered: ``{% if %}`` swallows what its conditions raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from cachepatterns.exceptions import WithheldVariable

ALWAYS = frozenset(
    {
        "request", "user", "perms", "messages", "DEFAULT_MESSAGE_LEVELS", "session", "csrf_token",
        "csrf_input", "block", "forloop",
    }
)  # fmt: skip
"""Names that stand for the visitor, or for where in a page the block stands."""
SAME_FOR_ALL = frozenset(
    {"True", "False", "None", "debug", "LANGUAGES", "LANGUAGE_CODE", "LANGUAGE_BIDI", "TIME_ZONE",
     "STATIC_URL", "MEDIA_URL"}
)  # fmt: skip
"""What Django's context processors give to everybody; the language and the time zone are part of
every fragment's key."""
_NEVER_WHOLE = frozenset({"request", "messages", "csrf_token", "csrf_input"})
_KNOWN_BY = frozenset({"pk", "id"})

Path = tuple[str, ...]


class Watch:
    """What one rendering of a block has touched of what is withheld."""

    def __init__(self, block: str) -> None:
        self._block = block
        self._touched = ""

    def refuse(self, name: str) -> NoReturn:
        self._touched = self._touched or name
        raise self._error()

    def check(self) -> None:
        """Raise for what was touched, if somebody has swallowed that."""
        if self._touched:
            raise self._error()

    def _error(self) -> WithheldVariable:
        name = self._touched
        return WithheldVariable(
            f"The cached block {self._block!r} uses {name!r}, which is not the same for all who "
            f"will be shown it. Say vary_on={name} (or what of it counts), or shared={name} if it "
            "is the same for everybody, or move it out of the block."
        )


class Withheld:
    """Stands where a variable was."""

    __slots__ = ("_name", "_paths", "_value", "_watch")

    def __init__(self, watch: Watch, name: str, value: Any = None, paths: Iterable[Path] = ()):
        object.__setattr__(self, "_watch", watch)
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "_paths", tuple(paths))

    def __getattr__(self, name: str) -> Any:
        found: Any = self
        if name == "resolve_expression" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        inner = [path[1:] for path in found._paths if path[:1] == (name,)]
        if not inner:
            found._watch.refuse(f"{found._name}.{name}" if found._paths else found._name)
        value = _part(found._value, name)
        if any(not path or path[0] in _KNOWN_BY for path in inner):
            return value
        return Withheld(found._watch, f"{found._name}.{name}", value, inner)

    def __getitem__(self, name: Any) -> Any:
        return self.__getattr__(str(name))

    def _refuse(self, *args: object) -> Any:
        found: Any = self
        found._watch.refuse(found._name)

    def __repr__(self) -> str:
        return f"<withheld {object.__getattribute__(self, '_name')}>"

    __str__ = __bool__ = __int__ = __float__ = __index__ = _refuse
    __add__ = __radd__ = __len__ = __iter__ = __eq__ = __ne__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __hash__ = __format__ = _refuse


def _part(value: Any, name: str) -> Any:
    try:
        return value[name]
    except (TypeError, KeyError, AttributeError, IndexError, ValueError):
        found = getattr(value, name)
        return found() if callable(found) and not hasattr(found, "_meta") else found


def replacements(
    watch: Watch, names: Iterable[str], values: Mapping[str, Any], varies_on: Iterable[Path]
) -> dict[str, Any]:
    """What to show a block in place of `names`, if it varies on the variables of these paths."""
    paths = [*varies_on]
    found: dict[str, Any] = {}
    for name in names:
        inner = [path[1:] for path in paths if path[:1] == (name,)]
        if name not in _NEVER_WHOLE and any(not path or path[0] in _KNOWN_BY for path in inner):
            continue  # it varies on the whole of it
        found[name] = Withheld(watch, name, values.get(name), inner)
    return found
