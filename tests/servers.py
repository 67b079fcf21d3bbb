"""pytest plugin: one PostgreSQL for a whole run, and one Valkey for each worker.

The process that starts the run starts both and puts their addresses into the environment, from
which `tests.settings` reads them; xdist's workers inherit it. Each worker starts a Valkey of its
own over that: a logical database is not enough, since what empties one of them, or all scripts,
is told to every client that tracks keys of any other. It is a plugin named on the command line
(`-p tests.servers` in pyproject.toml), since pytest-django loads the settings before any conftest
file is read. ``TESTS_DATABASE`` chooses another database (see `tests.databases`).
"""

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from shop.processes import interrupts_raise
from shop.servers import EmbeddedValkey
from tests.databases import DATABASES

RUNS_NO_TEST = {"-h", "--help", "-V", "--version", "--fixtures", "--markers"}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str]
) -> Generator[None, None, None]:
    """Start the servers before pytest-django, the hook's first plain caller, wants settings."""
    if not RUNS_NO_TEST.intersection(args):
        running = contextlib.ExitStack()
        # Registered first: however the run ends from here on, what was started is stopped.
        early_config.add_cleanup(running.close)
        running.enter_context(interrupts_raise())
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker is None:
            prefix = "cachepatterns-tests-"
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
            os.environ["TESTS_FOLDER"] = folder
            # And each run its own tmp_path: in the common one every start of pytest bars others,
            # so also the user as whom PostgreSQL runs in another run's.
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
            # The shop's secret key belongs to this run too.
            os.environ["SHOP_HOME"] = folder
            database = DATABASES[os.environ.get("TESTS_DATABASE", "postgresql18")]
            os.environ["DATABASE_URL"] = running.enter_context(database(Path(folder))).url
        valkey = EmbeddedValkey(Path(os.environ["TESTS_FOLDER"], worker or ""), maxmemory="256mb")
        os.environ["CACHE_URL"] = running.enter_context(valkey).url
    return (yield)
