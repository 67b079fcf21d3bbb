"""What the databases say: whether they end a transaction before its registration expires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.core.guard import head_start
from cachepatterns.live.finding import Finding, State
from cachepatterns.registry import site


def cached_aliases() -> list[str]:
    """The aliases of which anything is cached."""
    named = {alias for policy in site.policies() for alias in policy.databases}
    return sorted(named & set(connections))


def strict_aliases() -> list[str]:
    """The aliases of which anything is cached strictly."""
    named = {alias for policy in site.policies() if policy.is_strict for alias in policy.databases}
    return sorted(named & set(connections))


def answered(
    topic: str, ask: Callable[[], Iterable[Finding]], *, in_order: str, unknown: str, check_id: str
) -> Iterator[Finding]:
    """What `ask` finds in a database, or that there is nothing to be found; and under `check_id`
    that the database would not say, where that raises `DatabaseError`."""
    try:
        found = list(ask())
    except DatabaseError as error:
        text = f"{unknown}: {error}"
        yield Finding(topic=topic, state=State.UNKNOWN, text=text, id=check_id)
        return
    yield from found
    if not found:
        yield Finding(topic=topic, state=State.OK, text=in_order)


def timeout_findings() -> Iterator[Finding]:
    """Strictness needs a database that ends transactions sooner than fences; never raises."""
    for alias in strict_aliases():
        connection = connections[alias]
        topic = f"database {alias}"
        try:
            yield _timeout(connection, topic)
        except DatabaseError as error:
            yield Finding(
                topic=topic,
                state=State.UNREACHABLE,
                text=f"DATABASES[{alias!r}] does not answer: {error}",
                hint=f"Start it, or correct DATABASES[{alias!r}].",
                id="E030",
            )


def _timeout(connection: BaseDatabaseWrapper, topic: str) -> Finding:
    life = config().FENCE_SECONDS
    seconds = transaction_timeout(connection)
    if seconds is None:
        return Finding(
            topic=topic,
            state=State.NOTE,
            text=f"It has no transaction_timeout (PostgreSQL 17 and newer have): a writer that "
            f"is paused within a transaction for more than {life:g} seconds, and commits "
            "later, may be overtaken by readers until its own bump.",
            hint='Keep transactions shorter than CACHEPATTERNS["FENCE_SECONDS"].',
            id="I031",
        )
    if 0 < seconds <= life - head_start(life):
        text = f"transaction_timeout is {seconds:g} s, FENCE_SECONDS {life:g} s"
        return Finding(topic=topic, state=State.OK, text=text)
    wanted = max(1, int((life - 1) * 1000)) if life > 1 else int(life * 800)
    said = f"is {seconds:g} s" if seconds else "is off"
    return Finding(
        topic=topic,
        state=State.WARNING,
        text=f"transaction_timeout {said}, not below FENCE_SECONDS ({life:g} s): a writer paused "
        "within a transaction for longer than that may be overtaken by readers.",
        hint=f"Set DATABASES[{connection.alias!r}]['OPTIONS']['options'] = '-c "
        f"transaction_timeout={wanted}ms', or ALTER ROLE … SET transaction_timeout = "
        f"'{wanted}ms' for the role that serves pages; or raise FENCE_SECONDS.",
        id="W032",
    )


def transaction_timeout(connection: BaseDatabaseWrapper) -> float | None:
    """Seconds after which this connection's transactions are ended, 0 if they are not; `None`
    where the database knows no such limit. Raises `DatabaseError`."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'transaction_timeout'")
        row = cursor.fetchone()
    return None if row is None else int(row[0]) / 1000
