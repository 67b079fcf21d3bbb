"""What is written behind: whether anybody writes it, and whether Redis may forget it."""

from __future__ import annotations

from collections.abc import Iterator

from cachepatterns.backends.store import counters_store
from cachepatterns.behind import buffers
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.live.finding import Finding, State
from cachepatterns.stats.behinds import Behind, behinds

PATIENCE = 6.0
"""How many times its interval something may wait, and a minute at least."""


def behind_findings() -> Iterator[Finding]:
    """Backlog of each buffer, and the server they are on; never raises."""
    if not buffers():
        return
    try:
        for behind in behinds():
            yield _judged(behind)
        yield from eviction_findings()
    except (BackendError, ConfigurationError) as error:
        yield Finding(
            topic="write-behind",
            state=State.UNREACHABLE,
            text=f"Increments and events are written directly: {error}",
        )


def eviction_findings() -> Iterator[Finding]:
    """Whether the server may evict what is not written yet. Raises `BackendError`."""
    if not buffers():
        return
    said = counters_store().backend.info()
    policy, limit = str(said.get("maxmemory_policy") or ""), said.get("maxmemory")
    if policy.startswith("allkeys") and limit:
        yield Finding(
            topic="write-behind",
            state=State.WARNING,
            text=f"Redis evicts any key when memory is short ({policy}): increments and events "
            "that are not written yet can be lost.",
            hint="Use a volatile-… policy, or give them a server of their own: "
            'CACHEPATTERNS["COUNTERS_ALIAS"].',
            id="W060",
        )


def _judged(behind: Behind) -> Finding:
    topic = f"write-behind {behind.label} {behind.kind}"
    text = f"{behind.waiting} wait, {behind.batches} batches are open"
    if behind.waiting or behind.batches:
        text += f", the oldest for {behind.oldest_seconds:.0f} s"
    if behind.oldest_seconds <= max(60.0, PATIENCE * behind.every):
        return Finding(topic=topic, state=State.OK, text=text)
    return Finding(
        topic=topic,
        state=State.WARNING,
        text=text,
        hint="Nobody writes them: run `manage.py flush_counters --watch`, or set "
        'CACHEPATTERNS["FLUSH"] = "thread"; and look at its log.',
    )
