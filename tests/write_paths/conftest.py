import pytest
from django.core.cache import caches

from cachepatterns.registry import site
from tests.calm import nobody_writes
from tests.write_paths.world import MODELS, empty

DATABASES = ("default", "sqlite")


@pytest.fixture(autouse=True)
def _django_db_helper():
    """In place of pytest-django's, which would empty every table after each test."""


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Both databases, committed, cached and this module's own.

    Each test restores the rows it needs, which is much faster than emptying every table.
    """
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        for policy in site.policies():
            if policy.label.startswith("app."):
                patch.setattr(type(policy.policy), "databases", DATABASES)
        site.forget()
        caches["default"].client.get_client(write=True).flushdb()
        nobody_writes()
        yield
        for using in DATABASES:
            for group in MODELS:
                empty(group, using)
    site.forget()
