"""The outbox: what waits in it, and whether anybody delivers it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db import DatabaseError, connections
from django.db.models import Count, Min, QuerySet

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import relays_key
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.live.databases import cached_aliases
from cachepatterns.live.finding import Finding, State
from cachepatterns.models import InvalidationEvent
from cachepatterns.transactions import database_id
from cachepatterns.triggers import is_installed

OLD_SECONDS = 10.0
"""What waits for longer than this is not being delivered."""


def outbox_findings() -> Iterator[Finding]:
    """Backlog and relays of each database that is cached; never raises."""
    for alias in cached_aliases():
        topic = f"outbox {alias}"
        try:
            if config().OUTBOX:
                yield from _relays(alias, topic)
                yield _backlog(alias, topic)
                yield from _parked(alias, topic)
                yield from _of_others(alias, topic)
            elif is_installed(alias):
                yield Finding(
                    topic=topic,
                    state=State.FAILURE,
                    text="Triggers write into it, and nobody delivers: OUTBOX is off.",
                    hint='Set CACHEPATTERNS["OUTBOX"] = True and run `manage.py '
                    "relay_invalidations`, or `manage.py cache_triggers remove`.",
                )
        except DatabaseError as error:
            yield Finding(
                topic=topic,
                state=State.FAILURE,
                text=f"It can not be read: {error}",
                hint=f"Run `manage.py migrate cachepatterns --database={alias}`.",
            )
        except (BackendError, ConfigurationError):
            continue  # the server's own finding


def _relays(alias: str, topic: str) -> Iterator[Finding]:
    now, database = time.time(), database_id(connections[alias])
    keys = [relays_key(config().PREFIX, database, now, ago) for ago in (0, 1)]
    names = set[str]().union(*current_store().backend.counters(keys))
    if names:
        text = f"{len(names)} relays have reported in the last seconds"
        yield Finding(topic=topic, state=State.OK, text=text)
        return
    yield Finding(
        topic=topic,
        state=State.FAILURE,
        text="No relay is running: without one nothing is served from the cache.",
        hint=f"Run `manage.py relay_invalidations --database={alias}`, or set "
        'CACHEPATTERNS["RELAY"] = "thread".',
    )


def _backlog(alias: str, topic: str) -> Finding:
    count, age = _waiting(InvalidationEvent.ours(alias))
    text = f"{count} events wait" + (f", the oldest for {age:.0f} s" if count else "")
    if age <= OLD_SECONDS:
        return Finding(topic=topic, state=State.OK, text=text)
    return Finding(
        topic=topic,
        state=State.WARNING,
        text=text,
        hint="Look at the relays' logs; run more of them if they can not keep up.",
    )


def _parked(alias: str, topic: str) -> Iterator[Finding]:
    """What no relay understood; the newest first."""
    parked = InvalidationEvent.objects.using(alias).exclude(error="").order_by("-id")
    newest = parked.first()
    if newest is not None:
        yield Finding(
            topic=topic,
            state=State.WARNING,
            text=f"{parked.count()} events were not understood, and everything was bumped for "
            f"each. The newest, from {newest.source or 'an unnamed source'}: {newest.error}",
            hint="Mend what writes them (docs/patterns/event-driven-invalidation.md has the "
            "shapes), and delete them: "
            f"DELETE FROM {InvalidationEvent._meta.db_table} WHERE error <> ''.",
        )


def _of_others(alias: str, topic: str) -> Iterator[Finding]:
    """Sites with other prefixes write into the same table; what nobody delivers stays there."""
    events = InvalidationEvent.of_others(alias)
    count, age = _waiting(events)
    if age <= OLD_SECONDS:
        return
    found = events.filter(delivered_at=None).values_list("payload__prefix", flat=True)
    names = ", ".join(sorted(repr(name) for name in found.distinct()[:5]))
    yield Finding(
        topic=topic,
        state=State.WARNING,
        text=f"{count} events of sites with another PREFIX ({names}) wait, the oldest for "
        f"{age:.0f} s",
        hint="Run those sites' relays. If a site is no more, or has another PREFIX now: delete "
        "its rows from cachepatterns_invalidationevent, and, if it has installed triggers, run "
        "`manage.py cache_triggers install` here.",
    )


def _waiting(events: QuerySet[InvalidationEvent]) -> tuple[int, float]:
    """How many of them are not delivered, and how many seconds the oldest has been waiting."""
    found = events.filter(delivered_at=None).aggregate(n=Count("pk"), oldest=Min("created_at"))
    oldest = found["oldest"]
    return found["n"], 0.0 if oldest is None else max(0.0, time.time() - oldest.timestamp())
