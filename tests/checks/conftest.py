"""Settings and policies changed for the time of a test."""

import pytest

from cachepatterns.registry import site
from tests.app.caching import ItemPolicy


@pytest.fixture
def configure(settings):
    base = dict(getattr(settings, "CACHEPATTERNS", {}))

    def set_to(**changes):
        settings.CACHEPATTERNS = {**base, **changes}

    return set_to


@pytest.fixture
def policy(monkeypatch):
    """Change the items' policy for the time of a test."""

    def change(**attributes):
        for name, value in attributes.items():
            monkeypatch.setattr(ItemPolicy, name, value)
        site.forget()

    yield change
    monkeypatch.undo()
    site.forget()


@pytest.fixture
def alias(settings):
    def change(**changes):
        default = {**settings.CACHES["default"], **changes}
        settings.CACHES = {**settings.CACHES, "default": default}

    return change
