"""Whose statement it is: Django's own compilers', of which is known what they look at after it.

Told by the frames above the execute wrapper, since nothing else tells: text that a compiler
has made is sent like any other. That of other people is left as it is; who wrote it may look
for rows himself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from django.db.models import Field
from django.db.models.sql.compiler import (
    SQLCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)
from django.db.models.sql.constants import NO_RESULTS, ROW_COUNT

_COMPILERS: dict[str, type[SQLCompiler]] = {
    "INSERT": SQLInsertCompiler,
    "UPDATE": SQLUpdateCompiler,
    "DELETE": SQLDeleteCompiler,
}
VERBS = frozenset(_COMPILERS)
_FRAMES = 24
"""How many calls may lie between the compiler and the wrapper: other wrappers, mostly."""
_COUNTING = SQLCompiler.execute_sql.__code__
_INSERTING = SQLInsertCompiler.execute_sql.__code__
_UPDATING: CodeType | None = None
"""With the one above: functions whose local ``returning_fields`` they fetch afterwards."""
if hasattr(SQLUpdateCompiler, "execute_returning_sql"):  # Django 6.0
    _UPDATING = SQLUpdateCompiler.execute_returning_sql.__code__


@dataclass(frozen=True, slots=True)
class Own:
    """A statement of Django's: its compiler, and the fields that this fetches afterwards.

    Of one that fetches none it looks at the row count alone.
    """

    compiler: Any
    returned: Sequence[Field[Any, Any]]


def own_statement(verb: str, cursor: Any) -> Own | None:
    """The statement that is about to be executed on `cursor`, if it is Django's own."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            return None
        code = frame.f_code
        # One by one: looked up in a set, each frame's code would be hashed, all of it.
        if code is _COUNTING or code is _INSERTING or code is _UPDATING:
            return _of(frame.f_locals, verb, cursor, counting=code is _COUNTING)
        frame = frame.f_back
    return None


def _of(caller: Any, verb: str, cursor: Any, *, counting: bool) -> Own | None:
    compiler = caller.get("self")
    # On another cursor it is a statement that somebody's wrapper makes of his own.
    if not isinstance(compiler, _COMPILERS[verb]) or caller.get("cursor") is not cursor:
        return None
    if not counting:
        return Own(compiler, tuple(caller.get("returning_fields") or ()))
    return Own(compiler, ()) if caller.get("result_type") in (ROW_COUNT, NO_RESULTS) else None
