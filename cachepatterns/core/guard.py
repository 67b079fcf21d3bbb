"""Guards: where writers register before they commit, as a reader sees them.

A guard is one value per model, fetched with every entry in the same round trip. While it is
open, an entry whose stamps all stand may be served; where a writer that can not tell its tags
yet is registered, where the guard is missing, of another server's making or in quarantine,
the database is read and nothing is stored.

(The scripts in ``backends/lua`` say how guards change; this only judges one.)
"""

from __future__ import annotations

from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(dict[str, Any])

EVERYTHING = "*"
"""Registered by a writer that can not tell its tags before it has written."""


def guard_of(tag: str) -> str:
    """The name of the guard that answers for a tag: the model's, or ``#`` for named tags."""
    return "#" if tag.startswith("#") else tag.partition(":")[0]


def is_open(raw: bytes | None, run: str) -> bool:
    """Whether entries under this guard may be served, on the server with id `run`."""
    if raw is None:
        return False
    if raw[:1] == b"o":
        return raw[1:] == run.encode()
    try:
        guard = _decoder.decode(raw)
        if guard["r"] != run or guard["q"] != 0:
            return False
        fences = guard["f"]
        # An empty table of Lua is encoded as {}; a list can only be that, too.
        found = fences.values() if isinstance(fences, dict) else ()
        return all(fence[1] != EVERYTHING for fence in found)
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError):
        return False


def is_of_another(raw: bytes | None, run: str) -> bool:
    """Whether it was made on another server than that with id `run`, as far as can be told."""
    if raw is None:
        return False
    if raw[:1] == b"o":
        return raw[1:] != run.encode()
    try:
        return bool(_decoder.decode(raw)["r"] != run)
    except (msgspec.MsgspecError, KeyError):
        return False


def describe(raw: bytes) -> tuple[bool, int]:
    """Whether a guard is in quarantine, and how many writers stand in it; for people."""
    if raw[:1] == b"o":
        return False, 0
    try:
        guard = _decoder.decode(raw)
        return bool(guard["q"]), len(guard["f"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return True, 0
