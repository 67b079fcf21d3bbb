"""Each batch is written exactly once, wherever the flusher is killed."""

import os
import random
import signal
import time

import pytest
from django.db import connection

from cachepatterns import increment, record_event
from cachepatterns.backends.store import counters_store
from cachepatterns.behind import buffers
from cachepatterns.write import flushing
from cachepatterns.write.flushing import STEPS, Flusher
from tests.app.counted import Article, Visit
from tests.behind.conftest import noted, views
from tests.integration.threads import Gate, running

WANTED = os.environ.get("CACHEPATTERNS_FAULTS", "")
LONG_RUN = "nightly, a minute: CACHEPATTERNS_FAULTS=nightly (make faults)"
PROCESSES = 4


def open_batches() -> int:
    store = counters_store().backend
    return sum(len(store.open_batches(buffer.key)) for buffer in buffers())


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_steps_nothing_is_lost_and_nothing_twice(zygote, articles, step):
    increment(articles[0], views=5)
    increment(articles[1], views=-2)
    record_event(Visit, words="a")
    assert zygote.run("flushes", step) == -signal.SIGKILL
    increment(articles[0], views=1)
    assert zygote.run("flushes") == 0
    assert [views(article) for article in articles] == [6, -2, 0]
    assert Visit.objects.count() == 1
    assert open_batches() == 0
    assert zygote.run("flushes") == 0
    assert [views(article) for article in articles] == [6, -2, 0]


@pytest.mark.parametrize("step", STEPS)
def test_events_too_whichever_step_it_was(zygote, articles, step):
    for word in "abc":
        record_event(Visit, words=word)
    assert zygote.run("flushes", step) == -signal.SIGKILL
    assert zygote.run("flushes") == 0
    assert sorted(Visit.objects.values_list("words", flat=True)) == ["a", "b", "c"]


def gate_at(where, monkeypatch):
    """The first flusher that comes to this step waits there."""
    gate = Gate()

    def reached(step):
        if step == where and not gate.reached.is_set():
            gate.wait()

    monkeypatch.setattr(flushing, "reached", reached)
    return gate


def test_a_flusher_that_stood_still_with_a_written_batch_in_hand_writes_nothing(
    articles, monkeypatch
):
    """A reads the batch; B writes and drops it; A goes on."""
    gate = gate_at(flushing.READ, monkeypatch)
    increment(articles[0], views=5)
    with running(lambda: Flusher().everything()) as slow:
        assert gate.reached.wait(20)
        assert Flusher().everything().rows == 1
        gate.open.set()
        assert slow().rows == 0
    assert views(articles[0]) == 5
    assert noted() == 1


def test_a_second_flusher_waits_for_the_first_ones_commit_and_then_writes_nothing(
    articles, monkeypatch
):
    """A has written and not committed; B finds the open batch, and waits at its name."""
    gate = gate_at(flushing.WRITTEN, monkeypatch)
    increment(articles[0], views=5)
    with running(lambda: Flusher().everything()) as first:
        assert gate.reached.wait(20)
        with running(lambda: Flusher().everything()) as second:
            deadline = time.monotonic() + 20
            while not _somebody_waits():
                assert time.monotonic() < deadline
            gate.open.set()
            assert (first().rows, second().rows) == (1, 0)
    assert views(articles[0]) == 5


WAITING = {
    # In our database alone: others' tests wait for locks of theirs on the same server.
    "postgresql": "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE NOT granted AND datname = current_database()",
    "mysql": "SELECT variable_value FROM information_schema.global_status"
    " WHERE variable_name = 'innodb_row_lock_current_waits'",
}


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITING[connection.vendor])
        return int(cursor.fetchone()[0]) > 0


def test_if_the_first_fails_the_second_writes(articles, monkeypatch):
    def reached(step):
        if step == flushing.WRITTEN:
            monkeypatch.setattr(flushing, "reached", lambda step: None)
            raise RuntimeError("the first fails before its COMMIT")

    monkeypatch.setattr(flushing, "reached", reached)
    increment(articles[0], views=5)
    assert Flusher().everything().failed == ("app.article",)
    assert open_batches() == 1
    assert Flusher().everything().rows == 1
    assert views(articles[0]) == 5


@pytest.mark.parametrize(
    ("increments", "kills"),
    [
        pytest.param(20_000, 20, id="20,000"),
        pytest.param(
            100_000,
            100,
            id="100,000",
            marks=pytest.mark.skipif(WANTED != "nightly", reason=LONG_RUN),
        ),
    ],
)
def test_the_sum_is_exact_however_often_flushers_are_killed(zygote, articles, increments, kills):
    """Four processes count; two flush, and are killed at random when they have begun to."""
    dice, pks = random.Random(), [article.pk for article in articles]
    began, each, killed = time.perf_counter(), increments // PROCESSES, 0
    counting = [zygote.start("increments", pks, each) for _ in range(PROCESSES)]
    flushers = [zygote.start("keeps_flushing", 2) for _ in range(2)]
    while killed < kills or _is_counting(increments, articles):
        before = noted()
        while noted() == before and _is_counting(increments, articles):
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.02))
        assert zygote.kill(flushers.pop(0)) == -signal.SIGKILL
        flushers.append(zygote.start("keeps_flushing", dice.choice([1, 2, 1000])))
        killed += 1
    assert [zygote.wait(pid) for pid in counting] == [0] * PROCESSES
    for pid in flushers:
        zygote.kill(pid)
    Flusher().everything()
    assert sum(views(article) for article in articles) == increments
    assert open_batches() == 0
    print(
        f"\n{increments:,} increments by {PROCESSES} processes, flushers killed {killed} times, "
        f"{noted():,} batches, {time.perf_counter() - began:.1f} s: exact"
    )


def _is_counting(increments: int, articles: list[Article]) -> bool:
    """Whether the processes are still at it: what is counted so far is less than all."""
    counts = next(buffer for buffer in buffers() if buffer.policy.model is Article)
    waiting, batches = counters_store().backend.waiting_counts(
        counts.key, [f"views:{article.pk}" for article in articles]
    )
    so_far = sum(waiting) + sum(map(sum, batches.values())) + sum(map(views, articles))
    return so_far < increments
