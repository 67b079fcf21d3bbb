"""A recorder of the test's own, with a clock it sets, on a prefix nobody else writes to."""

import itertools
import os

import pytest

from cachepatterns.quarantine import declare_no_writers
from cachepatterns.stats.recorder import Recorder

_numbers = itertools.count()
NOON = 1_700_000_040.0


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def own_prefix(settings, django_db_setup):
    settings.CACHEPATTERNS = {
        **getattr(settings, "CACHEPATTERNS", {}),
        "PREFIX": f"stats-test-{os.getpid()}-{next(_numbers)}",
        "STATS_FLUSH_SECONDS": 3600,
    }
    declare_no_writers()
    return settings.CACHEPATTERNS["PREFIX"]


@pytest.fixture
def recorder(clock):
    return Recorder(clock=clock, background=False)
