"""``manage.py cache_monitoring``: rules for Prometheus, a dashboard for Grafana."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cachepatterns.contrib.prometheus.files import FILES, text_of


class Command(BaseCommand):
    help = (
        "Prints recording rules and alerts for Prometheus, or a dashboard for Grafana, in the "
        "names that this project's metrics have (PROMETHEUS_METRIC_NAMESPACE)."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("what", choices=sorted(FILES))

    def handle(self, *args: Any, **options: Any) -> None:
        namespace = getattr(settings, "PROMETHEUS_METRIC_NAMESPACE", "") or ""
        self.stdout.write(text_of(options["what"], namespace), ending="")
