"""The test runner: bends the product, if asked to, and writes down what became of each test."""

import json
import os
from pathlib import Path
from typing import Any
from unittest import TestResult, mock

from django.contrib.postgres.operations import CreateExtension
from django.test.runner import DiscoverRunner


class Runner(DiscoverRunner):
    """Django's, and the outcomes as JSON for `__main__`."""

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        # The embedded PostgreSQL comes without extensions: what needs them fails with and
        # without the cache, all else runs.
        mock.patch.object(CreateExtension, "database_forwards").start()
        self.outcomes: dict[str, int] = {}
        if os.environ["SUITE_MODE"] != "plain":
            from tests.django_suite import counts, shadow

            self.outcomes = counts.subscribe()
            if os.environ["SUITE_MODE"] == "shadow":
                shadow.install()

    def suite_result(self, suite: Any, result: TestResult, **kwargs: Any) -> int:
        found = {
            "run": result.testsRun,
            "skipped": len(result.skipped),
            "reads": self.outcomes,
            "failed": {
                getattr(test, "test_case", test).id(): text
                for test, text in [*result.failures, *result.errors]
            },
        }
        found["failed"] |= {test.id(): "unexpected success" for test in result.unexpectedSuccesses}
        Path(os.environ["SUITE_RESULT"]).write_text(json.dumps(found))
        return super().suite_result(suite, result, **kwargs)
