"""Settings of the processes that read and write: those of the tests, on the run's own servers.

`FAULTS` in the environment is JSON that `run` writes. Readers and writers reach Valkey through
proxies of their own; which one, each process says after it was forked (`worker.begin`).
"""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

FAULTS = json.loads(os.environ["FAULTS"])

DATABASES = {
    "default": {
        **DATABASES["default"],
        "NAME": FAULTS["database"],
        "CONN_MAX_AGE": None,
        # Strict needs the database to end a transaction before its registration expires.
        "OPTIONS": {"options": f"-c transaction_timeout={FAULTS['transaction_timeout']}"},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": FAULTS["socket_timeout"],
            "SOCKET_TIMEOUT": FAULTS["socket_timeout"],
        },
    }
}
CACHEPATTERNS = FAULTS["cachepatterns"]
LOGGING_CONFIG = None
