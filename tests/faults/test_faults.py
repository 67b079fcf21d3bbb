"""Nothing is ever stale, whatever is killed, stopped, cut, restarted, filled or failed over.

Readers and writers are processes of their own, on a real PostgreSQL and a real Valkey behind
proxies. `CACHEPATTERNS_FAULTS=nightly` (`make faults`) does hundreds of faults in minutes.
"""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace

import pytest
from django.db import connection

from tests.faults import world
from tests.faults.killing import KILLS
from tests.faults.plan import LONG, LONG_OUTBOX, LONG_PARTED, NAIVE, PARTED, SHORT, Plan, plan_of
from tests.faults.report import LEAST_HIT_RATE, LOSSES, Report
from tests.faults.run import run

WANTED = os.environ.get("CACHEPATTERNS_FAULTS", "")
"""`nightly`; or some faults only, to see what they do, as `fail_over:6 cut:3`."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl and /proc")


@pytest.fixture
def do(transactional_db, tmp_path):
    """Runs a plan, prints its report, and fails with a trace where something was stale."""

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


def judge(report: Report, plan: Plan) -> None:
    if report.counts["violations"]:
        pytest.fail("\n\n".join([str(report), *report.traces]), pytrace=False)
    assert report.undone == []
    assert report.hit_rate >= LEAST_HIT_RATE, f"it proves nothing: {report}"
    assert report.counts["reads"] >= plan.reads


LONG_RUN = "nightly, a quarter of an hour: CACHEPATTERNS_FAULTS=nightly (make faults)"


@pytest.mark.parametrize(
    "outbox", [False, pytest.param(True, marks=pytest.mark.skipif(not WANTED, reason=LONG_RUN))]
)
def test_nothing_is_stale_whatever_happens(do, outbox):
    short = replace(SHORT, outbox=outbox)
    plan = plan_of(WANTED, short, LONG_OUTBOX if outbox else LONG)
    report = do(plan)
    judge(report, plan)
    if WANTED == "nightly":
        assert report.amount(KILLS) >= 200
        assert report.amount(LOSSES) >= 50


def test_writes_that_go_on_without_redis_are_seen_after_one_lease_at_most(do):
    """ON_REDIS_ERROR = "database", with the outbox: what is stale while writers are cut off, and
    killed before they could tell anybody, is so for `LEASE_SECONDS`, and strictly never after."""
    plan = plan_of(WANTED, PARTED, LONG_PARTED)
    judge(do(plan), plan)


def test_the_oracle_finds_a_naive_cache_out_without_any_fault(do):
    assert do(NAIVE).counts["violations"]
