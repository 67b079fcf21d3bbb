"""Settings of the demo shop. The environment may set DATABASE_URL, CACHE_URL, SECRET_KEY,
SHOP_DEBUG and SHOP_HOSTS; without them it uses the servers of a running `manage.py demo`."""

import os

from shop import home
from shop.addresses import cache_location, database_settings
from shop.switches import has_wrong_policies, is_on

BASE_DIR = home.BASE_DIR

_found = home.addresses()
_database_url = os.environ.get("DATABASE_URL") or _found.get("DATABASE_URL") or "sqlite://"
_cache_url = os.environ.get("CACHE_URL") or _found.get("CACHE_URL") or "redis://127.0.0.1:6379/0"

DEBUG = os.environ.get("SHOP_DEBUG") == "1"
SECRET_KEY = home.secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *os.environ.get("SHOP_HOSTS", "").split()]

INSTALLED_APPS = [
    "django_prometheus",
    "cachepatterns",
    "shop.apps.ShopConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    # Above all that reads models, so that its bar accounts for the whole page.
    "cachepatterns.middleware.CacheBarMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "shop.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
ASGI_APPLICATION = "shop.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "shop.context.storefront",
            ],
        },
    },
]

DATABASES = {
    "default": {
        **database_settings(_database_url),
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
    },
}

_redis = {
    "BACKEND": "django_redis.cache.RedisCache",
    "LOCATION": cache_location(_cache_url),
}
# On the path of a request a slow cache is worse than none, and a retry only doubles the wait.
_redis_options = {
    "SOCKET_CONNECT_TIMEOUT": 0.5,
    "SOCKET_TIMEOUT": 0.5,
}
CACHES = {
    "default": {**_redis, "KEY_PREFIX": "shop", "OPTIONS": _redis_options},
    # For Django's own sessions (SHOP_WITHOUT=sessions), which a purge of the cache would end.
    "sessions": {**_redis, "KEY_PREFIX": "sessions", "OPTIONS": _redis_options},
}

_tiers: dict[str, dict[str, object]] = {
    # What hardly ever changes is answered from the process's own memory.
    "local": {"ttl": 24 * 3600, "local": True},
    # What visitors ask for lives on, and is loaded anew before they would have to wait.
    "catalog": {"ttl": 15 * 60},
    # Nobody waits for a list whose minute is over, and no page breaks for want of it.
    "lively": {"ttl": 45},
}
if is_on("ttl-tiers"):
    _tiers["catalog"] |= {"max_age": 6 * 3600, "early_refresh": 1.0}
if is_on("stale-while-revalidate"):
    _tiers["lively"] |= {"stale_for": 60, "stale_if_error": 3600}

CACHEPATTERNS = {
    "PREFIX": "shop-cp",
    # So that `cache_verify` can check many of the shop's few queries.
    "VERIFY_SHARE": 0.5,
    "TIERS": _tiers,
    # Of addresses that somebody makes up, so many a minute are remembered to lead nowhere.
    "NEGATIVE_PER_MINUTE": 60 if is_on("negative-caching") else 0,
}
if os.environ.get("SHOP_OUTBOX") == "1" and is_on("event-driven"):
    # The web processes relay what they and others record; a busy machine may be late with that.
    CACHEPATTERNS |= {"OUTBOX": True, "RELAY": "thread", "LEASE_SECONDS": 60}
if has_wrong_policies() and not is_on("advisor"):
    CACHEPATTERNS |= {"STATS": False}
if os.environ.get("SHOP_FLUSH") == "1":
    # The web processes write what is counted; elsewhere `manage.py flush_counters` does.
    CACHEPATTERNS |= {"FLUSH": "thread"}
if not is_on("herd"):
    CACHEPATTERNS |= {"FLIGHT_TIMEOUT": 0.001}  # nobody waits for another's load
if is_on("debugging"):
    # The share of the hits that is compared with the database: none, unless asked for.
    CACHEPATTERNS |= {"SHADOW": float(os.environ.get("SHOP_SHADOW", "0"))}
if os.environ.get("SHOP_STAGE") == "1":
    # `demo --patterns` looks at what was counted, and would have to wait for it.
    CACHEPATTERNS |= {"STATS_FLUSH_SECONDS": 0.5, "HOT_SHARE": 1.0}
if not is_on("monitoring"):
    CACHEPATTERNS |= {"PROMETHEUS": False, "HOT_SHARE": 0, "TRACING": False}

# Read through the cache like any row: a logout ends a session for all servers with its COMMIT.
SESSION_ENGINE = "cachepatterns.contrib.sessions"
if not is_on("sessions"):
    SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    SESSION_CACHE_ALIAS = "sessions"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "shop:profile"
LOGOUT_REDIRECT_URL = "shop:home"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True

# Names that tell one shop's metrics from another's belong to the scraper, not to us.
PROMETHEUS_EXPORT_MIGRATIONS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
