"""Fixtures for all tests. The servers themselves are started by `tests.servers`."""

import pytest
from django.core.cache import caches

from cachepatterns.quarantine import declare_no_writers
from cachepatterns.stats.recorder import recorder


@pytest.fixture
def redis_url(settings) -> str:
    """The address of this worker's own logical database in Valkey."""
    return settings.CACHES["default"]["LOCATION"]


@pytest.fixture
def empty_cache() -> None:
    """Begin with nothing cached: flushes this worker's logical database."""
    caches["default"].client.get_client(write=True).flushdb()
    declare_no_writers()


def pytest_sessionfinish() -> None:
    """The recorder's last flush, while its server is still there."""
    recorder.close()
