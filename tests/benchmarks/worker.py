"""One contender's process: does what it is told, line by line, in JSON.

{"do": "time", "case": "get(pk=)", "seconds": 0.3}   →   {"blocks": [...], "statements": 0}
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
from django.utils.module_loading import import_string


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    django.setup()
    from tests.benchmarks.bench import Bench

    out, sys.stdout = sys.stdout, sys.stderr  # what anybody prints must not disturb the answers
    bench = Bench(os.environ["BENCHMARK_CONTENDER"])
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        do = order.pop("do")
        # With a dot it is a scenario's own.
        answer = import_string(do)(bench, **order) if "." in do else getattr(bench, do)(**order)
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
