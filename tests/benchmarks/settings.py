"""Django settings of one contender, which the environment names."""

import os

from shop.addresses import cache_location, database_settings
from tests.benchmarks.contenders import CONTENDERS

_contender = CONTENDERS[os.environ["BENCHMARK_CONTENDER"]]
_cache_url = os.environ["CACHE_URL"]

SECRET_KEY = "benchmarks keep no secrets"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {**database_settings(os.environ["DATABASE_URL"]), "CONN_MAX_AGE": None},
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": cache_location(_cache_url),
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2},
    },
}
INSTALLED_APPS = [
    *_contender.apps,
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_prometheus",
    "tests.benchmarks.catalog",
]
BENCHMARK_MANAGER = _contender.manager

# Of cachepatterns little but a prefix: strict, stamps checked, statistics on. Memory answers only
# where all models of a query accept it: see `catalog.caching`.
CACHEPATTERNS = {"PREFIX": "bench", "TIERS": {"static": {"local": True}}}
CACHALOT_TIMEOUT = 3600
CACHEOPS_REDIS = _cache_url
CACHEOPS = {"catalog.*": {"ops": "all", "timeout": 3600}}
