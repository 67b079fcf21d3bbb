"""What a live check found, before anybody decides how to show it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """How bad it is, from good to bad."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing to mend."""
    UNKNOWN = "unknown"
    """The server would not say. Not a failure."""
    WARNING = "warning"
    FAILURE = "failure"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One answer. ``topic`` is the part of the system it is about (``redis``, ``database
    default``), ``id`` that of the system check that reports it (without the app's name)."""

    topic: str
    state: State
    text: str
    hint: str = ""
    id: str = ""
