"""A run of a command as a shell sees it: what it wrote, and its exit code."""

import io
import itertools
import os
from dataclasses import dataclass

import pytest
from django.core.management import CommandError, call_command

from cachepatterns.quarantine import declare_no_writers
from tests.app.caching import ItemPolicy
from tests.app.models import Category, Item

_numbers = itertools.count()


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_prefix(settings, django_db_setup, silent_recorder):
    settings.CACHEPATTERNS = {
        **getattr(settings, "CACHEPATTERNS", {}),
        "PREFIX": f"command-test-{os.getpid()}-{next(_numbers)}",
    }
    declare_no_writers()
    return settings.CACHEPATTERNS["PREFIX"]


@pytest.fixture
def run():
    def command(*words: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        try:
            call_command(*words, stdout=out, stderr=err, no_color=True)
        except SystemExit as end:
            code = int(end.code or 0)
        except CommandError as error:
            code = error.returncode
            err.write(str(error))
        return Ran(code, out.getvalue(), err.getvalue())

    return command


@pytest.fixture
def redis_down(settings):
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}


@pytest.fixture
def items(transactional_db):
    category = Category.objects.create(name="Chairs", slug="chairs")
    return [Item.objects.create(name=name, sku=name, category=category, price=1) for name in "abc"]


@pytest.fixture
def warmable(items, monkeypatch):
    """The items' policy declares three querysets."""

    def warm(self):
        yield Item.objects.filter(category=items[0].category_id)
        yield Item.objects.filter(active=True)
        yield Item.objects.all()

    monkeypatch.setattr(ItemPolicy, "warm", warm)
    return items
