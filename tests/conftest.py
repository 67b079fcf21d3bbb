"""Fixtures for all tests. The servers themselves are started by `tests.servers`."""

import pytest
from django.core.cache import caches

from cachepatterns.quarantine import declare_no_writers
from cachepatterns.registry import site
from cachepatterns.stats.recorder import recorder
from cachepatterns.write.fence import settle


@pytest.fixture
def redis_url(settings) -> str:
    """The address of this worker's own logical database in Valkey."""
    return settings.CACHES["default"]["LOCATION"]


@pytest.fixture
def empty_cache() -> None:
    """Begin with nothing cached: flushes this worker's logical database."""
    settle()  # what an earlier test had rolled back is bumped by a thread, sooner or later
    caches["default"].client.get_client(write=True).flushdb()
    declare_no_writers()


@pytest.fixture
def both_databases(monkeypatch, transactional_db, empty_cache):
    """The test models cached on SQLite too, with both databases committed and empty."""
    for policy in site.policies():
        if policy.label.startswith("app."):
            monkeypatch.setattr(type(policy.policy), "databases", ("default", "sqlite"))
    site.forget()
    declare_no_writers()
    yield
    monkeypatch.undo()
    site.forget()


def pytest_sessionfinish() -> None:
    """The recorder's last flush, while its server is still there."""
    recorder.close()
