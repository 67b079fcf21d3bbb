"""What is written behind, as it stands: how much waits in each buffer, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from cachepatterns.backends.store import counters_store
from cachepatterns.behind import buffers
from cachepatterns.exceptions import CachePatternsError


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """One buffer. ``waiting`` are its increments (added up by row) or events that are in no batch
    yet, ``batches`` those that are being written, or were when somebody died."""

    label: str
    kind: str
    alias: str
    every: float
    waiting: int
    batches: int
    oldest_seconds: float


def behinds() -> tuple[Behind, ...]:
    """All of them. Raises `BackendError` and `ConfigurationError`."""
    found = buffers()
    backend = counters_store().backend if found else None
    states = []
    for buffer in found:
        assert backend is not None
        backlog = backend.backlog(buffer.key)
        states.append(
            Behind(
                label=buffer.policy.label,
                kind=buffer.kind,
                alias=buffer.using,
                every=buffer.every,
                waiting=backlog.waiting,
                batches=backlog.batches,
                oldest_seconds=backlog.seconds,
            )
        )
    return tuple(states)


def behinds_or_none() -> tuple[Behind, ...]:
    """All of them; none where Redis does not say."""
    try:
        return behinds()
    except CachePatternsError:
        return ()
