"""Statements of our own that write cached tables: who sends them tells what they wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_accounted: ContextVar[bool] = ContextVar("cachepatterns_accounted", default=False)


@contextmanager
def accounted() -> Iterator[None]:
    """Within this block the execute wrapper lets statements pass."""
    token = _accounted.set(True)
    try:
        yield
    finally:
        _accounted.reset(token)


def is_accounted() -> bool:
    return _accounted.get()
