"""Databases for the time of a test, beside those of `tests.settings`."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.models import InvalidationEvent
from tests.app.models import Category, Item, Label


@contextmanager
def added(alias: str, like: str = "default", **settings: Any) -> Iterator[BaseDatabaseWrapper]:
    """`alias` as a further database: `like` another one, but for `settings`."""
    connections.settings[alias] = {**copy.deepcopy(connections.settings[like]), **settings}
    try:
        yield connections[alias]
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


@contextmanager
def led_elsewhere(alias: str, **settings: Any) -> Iterator[None]:
    """What `alias` leads to, changed in place: every thread's connection follows."""
    found = connections.settings[alias]
    before = dict(found)
    connections[alias].close()
    found.update(settings)
    try:
        yield
    finally:
        connections[alias].close()
        found.update(before)


def create_tables(connection: BaseDatabaseWrapper) -> None:
    """The tables of categories, items and labels, and of the outbox."""
    with connection.schema_editor() as editor:
        for model in (InvalidationEvent, Category, Label, Item):
            editor.create_model(model)
