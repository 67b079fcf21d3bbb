"""Triggers on the tables of the test app, and a client that is not Django."""

import psycopg
import pytest
from django.db import connection

from cachepatterns import triggers
from cachepatterns.models import InvalidationEvent
from tests.app.models import Category, Item
from tests.commands.conftest import run

__all__ = ["run"]  # a fixture of the commands' tests, here too


def another_client():
    """A connection of its own, past Django and all its layers."""
    wanted = ("host", "port", "dbname", "user", "password")
    params = connection.get_connection_params()
    return psycopg.connect(**{k: params[k] for k in wanted if k in params}, autocommit=True)


@pytest.fixture
def client(transactional_db):
    with another_client() as client:
        yield client


@pytest.fixture(scope="module")
def installed(django_db_setup, django_db_blocker):
    """Triggers on the test app's tables, for all tests of a module."""
    with django_db_blocker.unblock():
        triggers.install("default", ["app"])
        connection.close()
    yield
    with django_db_blocker.unblock():
        triggers.remove("default")
        InvalidationEvent.objects.all().delete()  # of the last test's flush
        connection.close()


@pytest.fixture
def goods(installed, transactional_db, empty_cache):
    """Two categories, the first with two items, and nothing recorded yet."""
    a = Category.objects.create(name="a", slug="a")
    b = Category.objects.create(name="b", slug="b")
    items = [
        Item.objects.create(name=f"item {i}", sku=f"s{i}", category=a, price=i) for i in range(2)
    ]
    InvalidationEvent.objects.all().delete()
    return a, b, items


def told():
    """What was recorded since, as ``(table, operation, rows)``; it is forgotten then."""
    events = list(InvalidationEvent.objects.order_by("id"))
    InvalidationEvent.objects.all().delete()
    assert all(event.source == "trigger" and event.token == "" for event in events)
    return [
        (e.payload["table"].removeprefix("public.app_"), e.payload["op"], e.payload["rows"])
        for e in events
    ]
