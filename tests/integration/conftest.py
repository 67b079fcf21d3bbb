import pytest

from tests.app.models import Category, Item
from tests.integration.threads import Gate, hold_first_store


@pytest.fixture
def fresh(transactional_db, empty_cache) -> None:
    """A committed database and an empty cache: what a test of the cache starts from."""


@pytest.fixture
def goods(fresh):
    """Two categories, `a` with items 0 and 2, `b` with items 1 and 3."""
    a = Category.objects.create(name="a", slug="a")
    b = Category.objects.create(name="b", slug="b")
    items = [
        Item.objects.create(name=f"item {i}", sku=f"s{i}", category=(a, b)[i % 2], price=i)
        for i in range(4)
    ]
    return a, b, items


@pytest.fixture
def held_before_store(monkeypatch):
    """Whoever is the first about to store what was loaded waits at the gate."""
    gate = Gate()
    hold_first_store(monkeypatch, gate)
    yield gate
    gate.open.set()


@pytest.fixture
def db_cursor(fresh):
    """A raw cursor on the default database."""
    from django.db import connection

    with connection.cursor() as cursor:
        yield cursor
