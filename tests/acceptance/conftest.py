"""Four servers of the shop, each one process, on one database and one cache."""

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection

from shop.demo.site import Site
from shop.demo.web import workers
from shop.seed import seed
from shop.servers.base import free_port

SERVERS = 4


@pytest.fixture
def shop(transactional_db, empty_cache) -> None:
    seed(products=200, reviews=300, progress=lambda done, total: None)


@pytest.fixture
def servers(shop, tmp_path) -> Iterator[list[str]]:
    """The addresses of four single-worker servers of this test's own."""
    db = connection.settings_dict
    env = {
        **os.environ,
        "DATABASE_URL": (
            f"postgres://{quote(db['USER'])}:{quote(db['PASSWORD'])}@{db['HOST']}:{db['PORT']}"
            f"/{quote(db['NAME'])}"
        ),
        "CACHE_URL": django_settings.CACHES["default"]["LOCATION"],
    }
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(SERVERS):
            home = tmp_path / f"server{number}"
            home.mkdir()
            port = free_port()
            stack.enter_context(workers(Site(home, env, []), port=port, count=1))
            found.append(f"http://127.0.0.1:{port}")
        yield found
