"""The threads that refresh: they keep no connection to the database that nobody uses.

The interleaving that must not happen: a job waits when a thread has done its own, so this keeps
its connection; the job is gone when it looks for it, and the connection stays open for nothing.
"""

import threading

import pytest
from django.db import connection

from cachepatterns.read.pool import Pool
from tests.events import eventually
from tests.integration.threads import Gate

pytestmark = pytest.mark.django_db(transaction=True)


class Job:
    """Asks the database, and ends when it may."""

    def __init__(self):
        self.gate = Gate()

    def __call__(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        self.connection = connection.connection
        self.gate.wait()
        return 0.0


@pytest.fixture
def pool(monkeypatch):
    """Of which the thread that does the job named "first" is held before it looks for another."""
    pool = Pool()
    done, pool.gate = pool._done, Gate()

    def held(name, quiet):
        done(name, quiet)
        if name == "first":
            pool.gate.wait()

    monkeypatch.setattr(pool, "_done", held)
    yield pool
    pool.gate.open.set()
    pool.close(timeout=20)


def begun(pool, name):
    job = Job()
    assert pool.submit(name, job)
    assert job.gate.reached.wait(20)
    return job


def test_a_thread_whose_next_job_another_has_taken_closes_its_connection(pool, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH_THREADS": 2}
    first, second, third = begun(pool, "first"), begun(pool, "second"), Job()
    assert pool.submit("third", third)
    first.gate.open.set()
    assert pool.gate.reached.wait(20)
    second.gate.open.set()
    assert third.gate.reached.wait(20)
    pool.gate.open.set()
    try:
        eventually(lambda: first.connection.closed, within=5)  # it ends after ten seconds
    finally:
        third.gate.open.set()
    eventually(lambda: third.connection.closed)


def test_a_thread_whose_next_job_was_dropped_closes_its_connection(pool, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH_THREADS": 1}
    first = begun(pool, "first")
    assert pool.submit("dropped", Job())
    first.gate.open.set()
    assert pool.gate.reached.wait(20)
    closing = threading.Thread(target=pool.close, kwargs={"timeout": 20})
    closing.start()
    eventually(lambda: pool._is_closed)
    pool.gate.open.set()
    closing.join()
    assert first.connection.closed
