"""Counters for Prometheus, in the default registry of prometheus_client.

With django-prometheus in ``INSTALLED_APPS`` nothing is to be done: its ``/metrics`` shows them.
Elsewhere ``CACHEPATTERNS["PROMETHEUS"] = True`` counts, for whatever exports that registry.
Beside this file are `rules.yml`, recording rules and alerts, and `dashboard.json` for Grafana;
``manage.py cache_monitoring rules`` prints them with the project's namespace.
"""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import apps

from cachepatterns import observe
from cachepatterns.conf import config


def is_wanted() -> bool:
    """Whether this process is to count for Prometheus."""
    wanted = config().PROMETHEUS
    return apps.is_installed("django_prometheus") if wanted is None else wanted


def connect() -> None:
    """Count from now on, if that is wanted and prometheus_client is there."""
    if is_wanted() and find_spec("prometheus_client") is not None:
        from cachepatterns.contrib.prometheus.listener import listener

        observe.subscribe(listener)
