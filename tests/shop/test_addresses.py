"""DATABASE_URL and CACHE_URL, and what one reads when nobody answers there."""

import os
import subprocess
import sys

import pytest

from shop.addresses import (
    BadAddress,
    Unreachable,
    cache_location,
    database_settings,
    require_reachable,
)
from shop.home import BASE_DIR
from shop.servers.base import free_port


def test_a_postgres_address():
    assert database_settings("postgres://me:p%40ss@db.example:6543/my%20shop?sslmode=require") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "my shop",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "6543",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite://", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
    ],
)
def test_sqlite_addresses(url, name):
    assert database_settings(url) == {"ENGINE": "django.db.backends.sqlite3", "NAME": name}


def test_a_mysql_address():
    assert database_settings("mysql://me@localhost/shop")["ENGINE"].endswith("mysql")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://:secret@cache.example/1", "rediss://:secret@cache.example/1"),
        ("redis+unix:///run/valkey.sock?db=2", "unix:///run/valkey.sock?db=2"),
    ],
)
def test_cache_addresses(url, location):
    assert cache_location(url) == location


@pytest.mark.parametrize(
    "url", ["oracle://x/y", "postgres://host/", "postgres://h:port/x", "shop"]
)
def test_a_bad_database_address_says_what_is_wrong(url):
    with pytest.raises(BadAddress, match="DATABASE_URL"):
        database_settings(url)


def test_a_bad_cache_address_says_what_is_wrong():
    with pytest.raises(BadAddress, match="CACHE_URL must begin with"):
        cache_location("memcached://localhost")


def test_an_unreachable_server_is_named_without_its_password():
    url = f"postgres://me:secret@127.0.0.1:{free_port()}/shop"
    with pytest.raises(Unreachable, match=r"DATABASE_URL: no server at postgres://127") as caught:
        require_reachable("DATABASE_URL", url)
    assert "secret" not in str(caught.value)


def test_the_test_servers_are_reachable(redis_url):
    require_reachable("DATABASE_URL", os.environ["DATABASE_URL"])
    require_reachable("CACHE_URL", redis_url)


def test_the_demo_gives_an_unreachable_server_one_line_and_exit_status_one(tmp_path):
    cache = f"redis://127.0.0.1:{free_port()}/0"
    done = subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "SHOP_HOME": str(tmp_path),
            "CACHE_URL": cache,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line == f"CommandError: CACHE_URL: no server at {cache} (Connection refused)"
