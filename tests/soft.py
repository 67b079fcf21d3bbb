"""Tiers with soft ends, and a clock for them that a test sets."""

import time

import pytest

from cachepatterns.core.codec import Row
from cachepatterns.core.entry import Entry, unpack
from cachepatterns.read import softly
from cachepatterns.read.pool import pool


class Clock:
    """The time by which entries are past theirs. What Redis does with them it does in real time,
    for which the tiers of these tests are long enough."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(softly, "clock", found)
    yield found
    assert pool.settle(20)  # while the database is still there


def tiers(settings, **options) -> None:
    """Give the tier of items these options; it lives for 900 seconds."""
    jitter = {"jitter": 0.0}
    found = {"semi_static": {**jitter, **options}}
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": found}


def entries(kind: str = "q") -> list[Entry]:
    """The entries that stand."""
    from cachepatterns.backends.store import current_store

    client = current_store().backend._client()
    keys = sorted(client.keys(f"*:{kind}:app.item.*"))
    return [unpack(client.get(key)) for key in keys]


def ttls(kind: str = "q") -> list[float]:
    from cachepatterns.backends.store import current_store

    client = current_store().backend._client()
    return [client.pttl(key) / 1000 for key in client.keys(f"*:{kind}:app.item.*")]


def settled() -> None:
    """Wait until nothing is being refreshed."""
    assert pool.settle(20)


__all__ = ["Clock", "Row", "clock", "entries", "settled", "tiers", "ttls"]
