"""Our own parts: guards, triggers."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError, connections

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.guard import describe
from cachepatterns.exceptions import BackendError, CachePatternsError, ConfigurationError
from cachepatterns.live.databases import cached_aliases
from cachepatterns.live.finding import Finding, State
from cachepatterns.quarantine import guard_keys
from cachepatterns.triggers import State as TriggerState
from cachepatterns.triggers import is_installed, status


def guard_findings() -> Iterator[Finding]:
    """Models that are kept out of the cache at this moment; never raises."""
    topic, keys = "guards", guard_keys()
    try:
        found = current_store().backend.get_many(keys)
    except (BackendError, ConfigurationError):
        return  # the server's own finding
    closed, writers, missing = [], 0, 0
    for key, raw in zip(keys, found, strict=True):
        name = key.rpartition(":")[2]
        if raw is None:
            missing += 1
            continue
        in_quarantine, registered = describe(raw)
        writers += registered
        if in_quarantine:
            closed.append(name)
    if closed:
        yield Finding(
            topic=topic,
            state=State.NOTE,
            text=f"In quarantine, read from the database: {', '.join(closed)}",
            hint="That lasts FENCE_SECONDS after Redis was started, flushed or failed over. If "
            "it comes back, guards are evicted: give Redis more memory, or volatile-lru.",
        )
    else:
        text = f"None of {len(keys) - missing} is in quarantine, {writers} writers are registered"
        yield Finding(topic=topic, state=State.OK, text=text)


def trigger_findings() -> Iterator[Finding]:
    """Whether our triggers are as they should be, where there are or should be any."""
    for alias in cached_aliases():
        topic = f"triggers {alias}"
        try:
            if is_installed(alias):
                yield from _judged(alias, topic)
            elif config().TRIGGERS and connections[alias].vendor == "postgresql":
                yield Finding(
                    topic=topic,
                    state=State.WARNING,
                    text='CACHEPATTERNS["TRIGGERS"] is on, and none are installed.',
                    hint=f"Run `manage.py cache_triggers install --database={alias}`.",
                    id="W050",
                )
        except DatabaseError:
            continue  # the database's own finding
        except CachePatternsError as error:
            yield Finding(topic=topic, state=State.FAILURE, text=str(error), id="E051")


def _judged(alias: str, topic: str) -> Iterator[Finding]:
    found = status(alias)
    wrong = [t for t in found if t.state not in {TriggerState.INSTALLED, TriggerState.IMPOSSIBLE}]
    for table in wrong:
        yield Finding(
            topic=topic,
            state=State.WARNING,
            text=f"{table.table}: {table.state} ({'; '.join(table.problems)})",
            hint=f"Run `manage.py cache_triggers install --database={alias}`.",
            id="W052",
        )
    if not wrong:
        yield Finding(topic=topic, state=State.OK, text=f"{len(found)} tables have theirs")
    if not config().TRIGGERS:
        yield Finding(
            topic=topic,
            state=State.NOTE,
            text="Each of Django's own writes is told by them too, and bumped twice.",
            hint='Set CACHEPATTERNS["TRIGGERS"] = True.',
        )
