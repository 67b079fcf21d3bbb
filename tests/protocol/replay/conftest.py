"""One row, and servers, for all replays of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from cachepatterns.read import lookup
from tests.protocol.replay.places import Keys, Pair, Server, Table


@pytest.fixture(scope="module")
def db(django_db_setup, django_db_blocker) -> Iterator[None]:
    """In place of pytest-django's: once for all replays, and what is written is committed."""
    with django_db_blocker.unblock():
        yield
        connection.close()


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look again is in the model a read of its own, which may come at any time."""
    monkeypatch.setattr(lookup, "look_again", lambda *asked: asked[-1])


@pytest.fixture(scope="module")
def table(db: None) -> Iterator[Table]:
    """The row of the model, committed: the replays' threads have sessions of their own."""
    made = Table()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(table: Table) -> Server:
    return Server(table, Keys(table))


@pytest.fixture(scope="module")
def pair(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two Valkeys of their own, for failovers."""
    found = Pair(table, Keys(table), tmp_path_factory.mktemp("pair"))
    try:
        caches = {**settings.CACHES, **found.caches(settings.CACHES["default"])}
        with override_settings(CACHES=caches):
            yield found
    finally:
        found.stop()
