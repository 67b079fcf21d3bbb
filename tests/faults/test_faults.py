"""Nothing is ever stale, whatever is killed, stopped, cut, restarted, filled or failed over.

Readers and writers are processes of their own, on a real PostgreSQL and a real Valkey behind
proxies. `CACHEPATTERNS_FAULTS=nightly` (`make faults`) does hundreds of faults in minutes.
"""

from __future__ import annotations

import os
import random
import sys

import pytest
from django.db import connection

from tests.faults import world
from tests.faults.run import CUTS, KILLS, LEAST_HIT_RATE, STATE_LOSSES, Plan, Report, run

NIGHTLY = os.environ.get("CACHEPATTERNS_FAULTS") == "nightly"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl and /proc")

SHORT = Plan(
    faults={
        "kill_at_random": 1,
        "kill_at_a_point": 2,
        "stop_briefly": 1,
        "stop_for_long": 1,
        "end_session": 1,
        "cut": 1,
        "lose_answers": 1,
        "flush_under_a_writer": 1,
        "fail_over": 1,
    },
    reads=2_000,
    seconds=60,
)
LONG = Plan(
    faults={
        "kill_at_random": 34,
        "kill_at_a_point": 34,
        "kill_reader": 6,
        "stop_briefly": 8,
        "stop_for_long": 12,
        "stop_reader": 8,
        "end_session": 12,
        "cut": 6,
        "black_hole": 6,
        "delay": 6,
        "lose_answers": 8,
        "flush": 4,
        "restart_empty": 4,
        "restart_with_data": 6,
        "fail_over": 6,
        "fill_memory": 4,
        "evict": 4,
        "flush_under_a_writer": 6,
        "evict_under_a_writer": 6,
        "fail_over_under_a_writer": 6,
    },
    reads=100_000,
    seconds=900,
)


@pytest.fixture
def do(transactional_db, tmp_path):
    """Runs a plan, prints its line, and fails with a trace where something was stale."""

    def run_plan(plan: Plan) -> Report:
        world.create()
        database = connection.settings_dict
        names = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "user"}
        address = " ".join(f"{word}={database[name]}" for name, word in names.items())
        address += f" password={database['PASSWORD']}"
        seed = os.environ.get("FAULTS_SEED") or str(random.SystemRandom().randrange(10**6))
        report = run(plan, tmp_path, database, address, seed)
        print(report)
        return report

    return run_plan


def judge(report: Report) -> None:
    if report.counts["violations"]:
        pytest.fail("\n\n".join([str(report), *report.traces]), pytrace=False)
    assert report.undone == []
    assert report.hit_rate >= LEAST_HIT_RATE, f"it proves nothing: {report}"


def test_nothing_is_stale_whatever_happens(do):
    report = do(LONG if NIGHTLY else SHORT)
    judge(report)
    assert report.counts["reads"] >= (LONG if NIGHTLY else SHORT).reads
    if NIGHTLY:
        assert report.amount(KILLS) >= 200
        assert report.amount(STATE_LOSSES | CUTS) >= 50


def test_the_oracle_finds_a_naive_cache_out_without_any_fault(do):
    report = do(Plan(faults={}, reads=4_000, seconds=60, naive=True))
    assert report.counts["violations"]


def test_writes_that_go_on_without_redis_are_outdated_until_it_is_told_and_no_longer(do):
    """ON_REDIS_ERROR = "database": what is stale is excused only while a writer is cut off."""
    plan = Plan(faults={"part_writers": 3}, reads=500, seconds=60, on_redis_error="database")
    judge(do(plan))
