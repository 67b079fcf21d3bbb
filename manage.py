#!/usr/bin/env python
"""Django's command line, with the demo shop's settings."""

import os
import sys

from django.core.management import execute_from_command_line

from shop.telemetry import instrument


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    instrument()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
