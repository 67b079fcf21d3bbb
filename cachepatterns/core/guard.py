"""Guards: where writers register before they commit, as a reader sees them.

A guard is one value per model, fetched with every entry in the same round trip. While it is
open, an entry whose stamps all stand may be served; where a writer that can not tell its tags
yet is registered, where the guard is missing, of another server's making or in quarantine,
the database is read and nothing is stored.

(The scripts in ``backends/lua`` say how guards change; this only judges one.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(dict[str, Any])

EVERYTHING = "*"
"""Registered by a writer that can not tell its tags before it has written."""
STAYING = "~"
"""Registered by one that writes a row that is in no other lists than those that it names, neither
before nor after: the server believes it only where the row's entry says so too."""
_SPARING = frozenset({EVERYTHING, STAYING})
"""Those that delete no stamps when they register."""
_ROW = ":pk="
"""What stands between the key of a model's tag and the value in that of one of its rows."""


def guard_of(tag: str) -> str:
    """The name of the guard that answers for a tag: the model's, or ``#`` for named tags."""
    return "#" if tag.startswith("#") else tag.partition(":")[0]


def by_guard(tags: Iterable[str]) -> dict[str, list[str]]:
    """`tags`, in their order, by the names of their guards (`guard_of`)."""
    found: dict[str, list[str]] = {}
    for tag in tags:
        guard = "#" if tag[:1] == "#" else tag.partition(":")[0]
        if guard in found:
            found[guard].append(tag)
        else:
            found[guard] = [tag]
    return found


def head_start(life: float) -> float:
    """Seconds by which a registration that lives `life` may be older than the transaction that it
    is for. A ``transaction_timeout`` and this together must not be longer than it lives."""
    return min(0.5, life / 10)


def keeps_away(named: Sequence[str], keys: Iterable[str]) -> bool:
    """Whether a registration keeps readers from what rests on the stamps under `keys`.

    Of a writer that can not tell its tags some know the rows that they will touch at most: the
    keys of these rows' tags follow that of the model's. What rests on other rows of the model, and
    on nothing else of it, is not theirs. Of one that leaves its row in its lists only what rests
    on that row, or on one of these lists, is.
    """
    if named[0] not in _SPARING:
        return False  # it has deleted the stamps that it names
    if len(named) < 3:
        return True
    head = named[1] + ":"
    theirs = [key for key in keys if key.startswith(head)]
    if named[0] == STAYING:
        return not theirs or any(key in named for key in theirs)
    row = named[1] + _ROW
    return not theirs or any(not key.startswith(row) or key in named for key in theirs)


def open_on(run: str) -> bytes:
    """What a guard holds that nobody is registered in, on the server with id `run`."""
    return b"o" + run.encode()


def is_open(raw: bytes | None, run: str, keys: Iterable[str] = ()) -> bool:
    """Whether what rests on the stamps under `keys` may be served, on the server with id `run`."""
    if raw is None:
        return False
    if raw[:1] == b"o":
        return raw == open_on(run)
    try:
        guard = _decoder.decode(raw)
        if guard["r"] != run or guard["q"] != 0:
            return False
        fences = guard["f"]
        # An empty table of Lua is encoded as {}; a list can only be that, too.
        found = fences.values() if isinstance(fences, dict) else ()
        return not any(keeps_away(fence[1:], keys) for fence in found)
    except (msgspec.MsgspecError, KeyError, TypeError, IndexError):
        return False


def is_of_another(raw: bytes | None, run: str) -> bool:
    """Whether it was made on another server than that with id `run`, as far as can be told."""
    if raw is None:
        return False
    if raw[:1] == b"o":
        return raw != open_on(run)
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
