import contextlib
import threading
from collections.abc import Iterator

import pytest
from django.db import connection

from cachepatterns.models import InvalidationEvent
from cachepatterns.quarantine import declare_no_writers
from cachepatterns.registry import site
from cachepatterns.write.relay import Relay
from tests.app.models import Category, Item


@pytest.fixture
def outbox(transactional_db, empty_cache, settings):
    """The outbox is on; the settings as they are then."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": True}
    return settings.CACHEPATTERNS


@pytest.fixture
def goods(outbox):
    """A category with two items, and nothing recorded yet."""
    category = Category.objects.create(name="a", slug="a")
    items = [
        Item.objects.create(name=f"item {i}", sku=f"s{i}", category=category, price=i)
        for i in range(2)
    ]
    forget_events()
    return category, items


def forget_events(alias: str = "default") -> None:
    InvalidationEvent.objects.using(alias).all().delete()


def events(alias: str = "default") -> list[InvalidationEvent]:
    """What is recorded and committed, oldest first."""
    return list(InvalidationEvent.objects.using(alias).order_by("id"))


def tags() -> set[str]:
    """All tags recorded, without the database's name."""
    return {tag.replace(_database(), "") for event in events() for tag in event.payload["tags"]}


def _database() -> str:
    from cachepatterns.transactions import database_id

    return f"@{database_id(connection)}"


def waiting() -> int:
    """How many events are not delivered."""
    return InvalidationEvent.objects.filter(delivered_at=None).count()


def told_by_trigger(table: str = "public.app_item", rows: object = None) -> InvalidationEvent:
    """An event as a trigger writes it."""
    payload = {"table": table, "op": "UPDATE", "rows": rows}
    return InvalidationEvent.objects.create(payload=payload)


@contextlib.contextmanager
def relaying(count: int = 1, alias: str = "default") -> Iterator[list[Relay]]:
    """Relays in threads of their own, on connections of their own."""
    relays = [Relay(alias) for _ in range(count)]
    threads = [threading.Thread(target=relay.run) for relay in relays]
    for thread in threads:
        thread.start()
    try:
        yield relays
    finally:
        for relay in relays:
            relay.stop()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def relay(outbox):
    """A relay of this thread's, for single rounds."""
    with contextlib.closing(Relay("default")) as relay:
        yield relay


@pytest.fixture
def on_sqlite(outbox, monkeypatch):
    """The categories are cached on SQLite."""
    monkeypatch.setattr(type(site.policy_for(Category).policy), "databases", ("sqlite",))
    site.forget()
    declare_no_writers()
    yield
    monkeypatch.undo()
    site.forget()
