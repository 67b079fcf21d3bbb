"""ASGI entry point, for any ASGI server: `shop.asgi:application`."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from shop.telemetry import instrument

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
instrument()

application = ASGIStaticFilesHandler(get_asgi_application())
