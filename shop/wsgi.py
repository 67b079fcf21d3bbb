"""WSGI entry point: `gunicorn shop.wsgi`."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

from shop.telemetry import instrument

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
instrument()

# The demo has no web server before it, so it hands out its few style sheets by itself.
application = StaticFilesHandler(get_wsgi_application())
