"""Whichever way a row is written: what the outbox holds of it is enough.

The writer dies between its COMMIT and its bump, and had never reached Redis. When a relay has
delivered, each cached read answers as the database does, and what the write did not concern is
still there.
"""

import contextlib
import os

import pytest
from django.db import connection

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store
from cachepatterns.write.relay import Relay
from tests.calm import nobody_writes
from tests.write_paths.conftest import DATABASES
from tests.write_paths.test_write_paths import (
    EACH,
    answers,
    autocommit,
    can_count_on_hits,
    committed,
    differing,
    is_told,
    start,
    truth,
)

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.usefixtures("world"),
]

WAYS = (autocommit, committed)
ON_DEFAULT = [case for case in EACH if case.values[1] == "default"]
CASES = [
    pytest.param(case.values[0], way, id=f"{case.id}-{way.__name__}")
    for number, case in enumerate(ON_DEFAULT)
    for way in (WAYS if os.environ.get("TESTS_OUTBOX") else (WAYS[number % 2],))
]
"""Each path, one way or the other; with ``TESTS_OUTBOX`` both."""


@pytest.fixture
def outbox(world, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": True, "LEASE_SECONDS": 3600}
    nobody_writes()
    deliver()  # and replay: this server is new to the relays


def deliver():
    with contextlib.closing(Relay("default")) as relay:
        assert relay.round().leased


@contextlib.contextmanager
def nobody_hears(monkeypatch):
    """Neither registration nor bump arrives."""
    with monkeypatch.context() as patch:
        patch.setattr(RedisBackend, "fence", lambda *args, **more: b"")
        patch.setattr(RedisBackend, "fence_ahead", lambda *args, **more: lambda: b"")
        patch.setattr(RedisBackend, "release", lambda *args, **more: None)
        patch.setattr(Store, "bump", lambda *args: False)
        yield


@pytest.mark.parametrize(("path", "way"), CASES)
def test_a_relay_makes_up_for_a_writer_that_nobody_heard_of(path, way, outbox, monkeypatch):
    before = start(path.group, "default")
    with nobody_hears(monkeypatch):
        way(path.write, "default")
    deliver()
    found, hits = answers(path.group, "default")
    now = truth(path.group, "default")
    assert now != before, "the path writes nothing that is read"
    assert differing(found, now) == {}
    if is_told(path, connection) and can_count_on_hits("default"):
        assert path.spares - hits == set()


def test_without_a_relay_it_would_show(empty_cache, outbox, monkeypatch):
    """That nobody hears is what the test above says, and not more than it says.

    It begins with no registration left, as one of a rollback on MariaDB would be: what is not
    stored can not be outdated.
    """
    path, _ = CASES[0].values
    before = start(path.group, "default")
    with nobody_hears(monkeypatch):
        autocommit(path.write, "default")
    assert differing(answers(path.group, "default")[0], before) == {}
    assert truth(path.group, "default") != before
