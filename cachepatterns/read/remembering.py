"""Remembering what was asked of an entry that is read a lot, for `read.again`.

Its key is a digest, which says nothing to whoever would fill it before the next reader comes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cachepatterns.exceptions import UnstorableValue
from cachepatterns.read.asking import Noting, packed, signed

_encoder = msgspec.msgpack.Encoder()


def record(asker: Any, question: Any) -> bytes | None:
    """What to keep of a question, signed; `None` where nothing is to be kept, or can be."""
    if asker is None:  # a row, whose key says it
        return None
    try:
        known = packed_question(asker, question)
    except UnstorableValue:
        return None
    return None if known is None else signed(question.key, _encoder.encode([question, known]))


def packed_question(asker: Any, question: Any) -> bytes | None:
    """The statement that answers a question, whether or not it is sent; `None` where it can not
    be told. Raises `UnstorableValue`."""
    return asker.foretold(question) if isinstance(asker, Noting) else packed(asker, question)
