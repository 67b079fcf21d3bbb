import os
import signal

import pytest

from cachepatterns.backends import incarnation
from cachepatterns.backends.locmem import LocMemBackend
from cachepatterns.backends.redis import RedisBackend
from shop.servers import EmbeddedValkey

GUARD = "test:guard:a@d"


@pytest.fixture(params=["redis", "locmem"])
def backend(request):
    """Each backend in turn, empty: Valkey itself, and the one inside the process."""
    if request.param == "locmem":
        return LocMemBackend()
    request.getfixturevalue("empty_cache")
    return RedisBackend("default")


@pytest.fixture
def never_by_itself(monkeypatch):
    """Nobody asks again because some time has passed: not between two commands of a test."""
    monkeypatch.setattr(incarnation, "ASK_AGAIN_SECONDS", 3600.0)


@pytest.fixture
def stopped(tmp_path, settings):
    """A Valkey that takes what is sent to it, and does nothing, until it is told to go on."""
    with EmbeddedValkey(tmp_path) as server:
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": server.url},
        }
        backend = RedisBackend("default")
        backend.tend([GUARD], life=60.0, no_writers=True)
        backend.release("nobody's", [GUARD], [], life=60.0)  # the server knows the script now
        yield backend, server
        os.kill(server.pid, signal.SIGCONT)
