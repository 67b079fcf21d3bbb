"""The pytest plugin: active wherever cachepatterns is installed.

Each test process has keys of its own (a fixture of the session, ``cachepatterns_prefix``), and the
fixture ``cachepatterns_cache`` gives a test an empty cache in which it sees hits::

    def test_prices_are_cached(db, cachepatterns_cache):
        with cachepatterns_cache.misses(1):
            price(1)
        with cachepatterns_cache.hits(1):
            price(1)
        with cachepatterns_cache.invalidates(Product):
            Product.objects.update(price=2)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


class CacheInTests:
    """What the fixture gives: the assertions of `cachepatterns.testing`, by short names."""

    def __init__(self) -> None:
        from cachepatterns import testing

        self.hits = testing.assert_cache_hits
        self.misses = testing.assert_cache_misses
        self.invalidates = testing.assert_invalidates
        self.does_not_invalidate = testing.assert_does_not_invalidate
        self.disabled = testing.cache_disabled


@pytest.fixture(scope="session", autouse=True)
def cachepatterns_prefix() -> Iterator[None]:
    """Keys of this process's own, for the whole run."""
    if not _is_used():
        yield
        return
    from cachepatterns.testing import isolated_prefix

    with isolated_prefix():
        yield


@pytest.fixture
def cachepatterns_cache(request: Any) -> Iterator[CacheInTests]:
    """An empty cache of the test's own, in which the transaction that pytest-django (or a
    ``TestCase``) wraps around the test counts for none."""
    from cachepatterns.testing import testcase_commits

    if request.config.pluginmanager.hasplugin("django"):
        request.getfixturevalue("django_db_setup")  # guards are named after the database
    with testcase_commits():
        yield CacheInTests()


def _is_used() -> bool:
    """Whether this run is of a Django project that has installed us."""
    try:
        from django.apps import apps
        from django.conf import settings
    except ImportError:
        return False
    return settings.configured and apps.ready and apps.is_installed("cachepatterns")
