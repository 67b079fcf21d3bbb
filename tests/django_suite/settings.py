"""Settings of the runs; `run` says in the environment what they are for."""

import os
from urllib.parse import urlsplit

from shop.addresses import cache_location, database_settings

_shard = os.environ["SUITE_SHARD"]
_folder = os.environ["SUITE_FOLDER"]


def _database(name: str) -> dict[str, object]:
    if os.environ["SUITE_DATABASE"] == "sqlite":
        path = f"{_folder}/{name}{_shard}.sqlite3"
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": path,
            "TEST": {"NAME": f"{path}.test"},
        }
    found = database_settings(os.environ["DATABASE_URL"])
    return {**found, "TEST": {"NAME": f"test_{name}{_shard}"}}


DATABASES = {"default": _database("django"), "other": _database("other")}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "cachepatterns": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": urlsplit(cache_location(os.environ["CACHE_URL"]))
        ._replace(path=f"/{_shard}")
        .geturl(),
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 2},
    },
}
CACHEPATTERNS = {
    "ALIAS": "cachepatterns",
    "MODELS": {"*": {"tier": "static", "managers": "all", "databases": ["default", "other"]}},
    # One process writes and reads: what was lost in a flush, no other can be holding.
    "FENCE_SECONDS": 0.25,
    "STATS": False,
}
TEST_RUNNER = "tests.django_suite.runner.Runner"
SECRET_KEY = "only for Django's tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
