import pytest
from django.db import connection

from cachepatterns.models import InvalidationEvent
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
