"""Seeing what the cache did: the events of a block, for assertions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cachepatterns import observe
from cachepatterns.observe import ErrorEvent, InvalidationEvent, ReadEvent, RefreshEvent


class Seen:
    """The events of a block, in order."""

    def __init__(self) -> None:
        self.events: list[observe.Event] = []

    def __call__(self, event: observe.Event) -> None:
        self.events.append(event)

    @property
    def reads(self) -> list[ReadEvent]:
        return [e for e in self.events if isinstance(e, ReadEvent)]

    @property
    def outcomes(self) -> list[str]:
        return [e.outcome for e in self.reads]

    @property
    def reasons(self) -> list[str]:
        return [e.reason for e in self.reads]

    @property
    def invalidations(self) -> list[InvalidationEvent]:
        return [e for e in self.events if isinstance(e, InvalidationEvent)]

    @property
    def refreshes(self) -> list[RefreshEvent]:
        return [e for e in self.events if isinstance(e, RefreshEvent)]

    @property
    def errors(self) -> list[ErrorEvent]:
        return [e for e in self.events if isinstance(e, ErrorEvent)]


@contextmanager
def seen() -> Iterator[Seen]:
    """The events that happen within the block."""
    found = Seen()
    observe.subscribe(found)
    try:
        yield found
    finally:
        observe.unsubscribe(found)


def eventually(condition, *, within: float = 20.0) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def outcome_of(read) -> str:
    """How the one read that `read()` makes ends."""
    with seen() as found:
        read()
    assert len(found.reads) == 1, found.reads
    return found.outcomes[0]
