"""Witnesses: what the entry of a row tells a writer of the lists that the row is in.

A writer that leaves a row in its lists needs to close no others, but has to be sure that the row
is in no others. The row's own entry, if it is valid, knows: it carries a digest of what tells
lists apart, and the server compares that with the writer's (`backends/lua/fence.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

_encode = msgspec.msgpack.Encoder().encode


class Staying(NamedTuple):
    """What a writer says who leaves a row in the lists that it is in."""

    lists: Sequence[str]
    """The tags of these lists."""
    entry: str
    """The key of the row's entry."""
    witness: bytes
    """What that has to say."""


def witness(told: Sequence[Any]) -> bytes:
    """A digest of the values that tell a row's lists, as the database holds them; empty, which
    convinces nobody, for values that have no one form."""
    try:
        return blake2b(_encode(told), digest_size=8).digest()
    except (TypeError, ValueError, OverflowError):
        return b""
