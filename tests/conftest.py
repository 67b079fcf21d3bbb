"""Fixtures for all tests. The servers themselves are started by `tests.servers`."""

import pytest
from django.core.cache import caches
from django.test import TransactionTestCase

from cachepatterns.conf import config
from cachepatterns.read import claim
from cachepatterns.read.floods import floods
from cachepatterns.read.pool import pool
from cachepatterns.registry import site
from cachepatterns.stats.recorder import recorder
from cachepatterns.write.fence import settle
from tests.calm import nobody_writes
from tests.emptying import empty

TransactionTestCase._fixture_teardown = empty


@pytest.fixture
def redis_url(settings) -> str:
    """The address of this worker's own Valkey."""
    return settings.CACHES["default"]["LOCATION"]


@pytest.fixture
def empty_cache() -> None:
    """Begin with nothing cached: flushes this worker's Valkey."""
    settle()  # what an earlier test had rolled back is bumped by a thread, sooner or later
    caches["default"].client.get_client(write=True).flushdb()
    nobody_writes()
    assert pool.settle(20)
    pool.forget()
    floods.forget()
    claim.forget()  # the first load of a pattern goes the long way, whatever ran before


@pytest.fixture
def silent_recorder(monkeypatch) -> None:
    """The process's own recorder reports nothing: the buckets hold what the test counts."""
    recorder.close()
    monkeypatch.setattr(recorder, "_background", False)


@pytest.fixture
def both_databases(monkeypatch, transactional_db, empty_cache):
    """The test models cached on SQLite too, with both databases committed and empty."""
    for policy in site.policies():
        if policy.label.startswith("app."):
            monkeypatch.setattr(type(policy.policy), "databases", ("default", "sqlite"))
    site.forget()
    nobody_writes()
    yield
    monkeypatch.undo()
    site.forget()


def pytest_collection_modifyitems(items) -> None:
    if config().OUTBOX:
        for item in items:
            if item.get_closest_marker("without_outbox"):
                item.add_marker(
                    pytest.mark.skip(
                        reason="TESTS_OUTBOX: it counts statements, and an outbox adds some"
                    )
                )


def pytest_sessionfinish() -> None:
    """The recorder's last flush, while its server is still there."""
    recorder.close()
