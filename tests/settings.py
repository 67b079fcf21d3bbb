"""Settings of the tests: the shop's, on the servers that `tests.servers` has started."""

import os

from shop.settings import *  # noqa: F403
from shop.settings import CACHEPATTERNS, CACHES, DATABASES, INSTALLED_APPS
from tests import mysql  # noqa: F401 - before Django looks for a driver

INSTALLED_APPS = [*INSTALLED_APPS, "tests.app", "tests.others"]

_folder = os.environ.get("TESTS_FOLDER", ".")

# pytest-django gives each worker a test database of its own, by a suffix to these names.
DATABASES = {
    "default": {**DATABASES["default"], "CONN_MAX_AGE": 0, "TEST": {"NAME": "test_shop"}},
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{_folder}/sqlite.db",
        "TEST": {"NAME": f"{_folder}/test.db"},
    },
}

# A machine that is busy for half a second is no server that is dead. Where one is, a test says so,
# and waits for it less long.
PATIENCE = {"SOCKET_CONNECT_TIMEOUT": 20, "SOCKET_TIMEOUT": 20}
CACHES = {
    name: {**cache, "OPTIONS": {**cache["OPTIONS"], **PATIENCE}} for name, cache in CACHES.items()
}

# Hashing passwords slowly is for attackers, not for tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# What is kept beside some entries, by chance, is for the tests of just that; and however often
# they ask for what is not there, they are no flood.
CACHEPATTERNS = {
    **CACHEPATTERNS,
    "VERIFY_SHARE": 0,
    "HOT_SHARE": 0,
    "NEGATIVE_PER_MINUTE": 1_000_000,
}

# The suites that judge what readers are told can be run with the outbox on, too. A lease is
# given by `tests.calm` then, and lasts longer than any test.
if os.environ.get("TESTS_OUTBOX"):
    CACHEPATTERNS = {**CACHEPATTERNS, "OUTBOX": True, "LEASE_SECONDS": 3600}
