"""Write-through: what a policy with ``write_through`` does when its rows have been committed.

Called after the bump, in the writer's thread and on its connection, outside any transaction.
Nothing here can fail a write, which has happened: errors are counted and logged, and leave an
ordinary invalidation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError

from cachepatterns.conf import config
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.observe import BurstLog, ErrorEvent, InvalidationEvent, PatternEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read import claim
from cachepatterns.read.refreshing import Refreshed, refresh
from cachepatterns.registry import find_model, site
from cachepatterns.write.telling import NOT_WRITTEN_THROUGH, TOO_MANY

WRITTEN_THROUGH = "written through"

log = BurstLog()


def write_through(events: Sequence[InvalidationEvent], delivered: bool) -> None:
    """Read the rows of `events` again and store them, unless they were not even bumped."""
    wanted: dict[tuple[str, str], dict[Any, Mapping[str, Any]]] = {}
    for event in events:
        for label, row in event.rows:
            policy = _policy(label)
            if policy is not None and event.using is not None:
                key = tuple(row[field.attname] for field in policy.model._meta.pk_fields)
                wanted.setdefault((label, event.using), {})[key] = row
    for (label, using), rows in wanted.items():
        policy = _policy(label)
        assert policy is not None
        done = Refreshed(0, "not bumped")
        if len(rows) > config().WRITE_THROUGH_MAX_ROWS:
            done = Refreshed(0, TOO_MANY)
        elif delivered:
            done = _refreshed(policy, list(rows.values()), using)
        if done.rows:
            emit(PatternEvent(label, WRITTEN_THROUGH, done.rows))
        elif done.reason:
            emit(PatternEvent(label, NOT_WRITTEN_THROUGH, len(rows), done.reason))


def _refreshed(policy: ResolvedPolicy, rows: Sequence[Mapping[str, Any]], using: str) -> Refreshed:
    try:
        with claim.loading:  # the writer waits for nobody else's load
            done = refresh(policy, rows, using)
            for queryset in policy.policy.write_through_lists():
                list(queryset.using(using))
        return done
    except (BackendError, ConfigurationError):
        return Refreshed(0, "cache failed")  # counted and logged by the store
    except (DatabaseError, InterfaceError) as error:
        emit(ErrorEvent("write through", type(error).__name__, str(error)))
        log.log("What was written to %s could not be read again: %s", policy.label, error)
        return Refreshed(0, "database failed")
    except Exception as error:
        emit(ErrorEvent("write through", type(error).__name__, str(error)))
        log.log("%s could not be written through", policy.label, exc_info=True)
        return Refreshed(0, "failed")


def _policy(label: str) -> ResolvedPolicy | None:
    model = find_model(label)
    return site.policy_for(model) if model is not None else None
