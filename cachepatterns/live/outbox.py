"""The outbox: what waits in it, and whether anybody delivers it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db import DatabaseError, connections
from django.db.models import Min

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
    waiting = InvalidationEvent.objects.using(alias).filter(delivered_at=None)
    count = waiting.count()
    oldest = waiting.aggregate(oldest=Min("created_at"))["oldest"]
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest.timestamp())
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
            hint="Mend what writes them (docs/invalidation.md has the shapes), and delete them: "
            f"DELETE FROM {InvalidationEvent._meta.db_table} WHERE error <> ''.",
        )
