"""From rows to what is stored of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cachepatterns.conf import config
from cachepatterns.core import codec
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import TOO_LARGE, pack
from cachepatterns.exceptions import UnstorableValue
from cachepatterns.read.question import Question


def make_entry(
    question: Question, rows: list[Row], stamps: Sequence[bytes], ttl: float, load_seconds: float
) -> bytes:
    """The payload of the rows that answer `question`; raises `UnstorableValue` with the reason."""
    signature, body = codec.encode_rows(rows)
    now = time.time()
    payload = pack(
        stamps=stamps,
        stored_at=now,
        load_seconds=load_seconds,
        ttl=ttl + now % 1,  # from the whole second on that is kept of the time
        row_count=len(rows),
        signature=signature,
        body=body,
        compress_above=config().COMPRESS_ABOVE,
        witness=question.witness(rows),
    )
    if len(payload) > config().MAX_VALUE_BYTES:
        raise UnstorableValue(TOO_LARGE)
    return payload


def unstored_reason(error: UnstorableValue) -> str:
    return TOO_LARGE if str(error) == TOO_LARGE else "unstorable"
