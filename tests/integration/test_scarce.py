"""Forks, and no more threads to be had: a read is answered all the same, and nothing is left."""

import os
import threading
import time
import warnings

import pytest
from django.db import connection

from cachepatterns.backends.store import current_store
from cachepatterns.core import entry
from cachepatterns.read import claim, loading
from cachepatterns.read.pool import pool
from cachepatterns.stats.recorder import Recorder
from tests.app.models import Everything, Item
from tests.events import outcome_of, seen
from tests.integration.threads import Gate, running
from tests.soft import clock, settled, tiers  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


def in_child(work) -> str:
    """What `work()` says in a fork's child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        try:
            connection.connection = None
            os.write(writer, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with open(reader) as said:
        return said.read()


@pytest.mark.parametrize("held", ["flight", "lock"])
def test_a_child_waits_for_none_of_its_parents_loads(goods, settings, monkeypatch, held):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FLIGHT_TIMEOUT": 3600}
    # What its parent has claimed in Redis any process waits for, and rightly: where the load was
    # known to take long, the child would, for half an hour.
    monkeypatch.setattr(claim, "SLOW_SECONDS", 3600.0)
    pk, gate, parent = goods[2][0].pk, Gate(), os.getpid()
    store = current_store()
    original = store.store

    def holds(*args, **kwargs):
        if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
            gate.wait()
        return original(*args, **kwargs)

    def locks():
        with loading.flights._lock:
            gate.wait()

    monkeypatch.setattr(store, "store", holds)
    read = lambda: outcome_of(lambda: Item.objects.get(pk=pk))  # noqa: E731
    with running(read if held == "flight" else locks) as done:
        assert gate.reached.wait(20)
        said = in_child(lambda: [read(), read()])
        gate.open.set()
        done()
    assert said == "['miss', 'hit']"


@pytest.fixture
def no_threads(monkeypatch):
    """Of ours none can be started."""
    start = threading.Thread.start

    def refuses(self):
        if self.name.startswith("cachepatterns"):
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        yield patch


def test_an_entry_that_can_not_be_refreshed_is_served(goods, settings, clock, no_threads):  # noqa: F811
    tiers(settings, stale_for=300)
    pool.reset()
    read = lambda: Item.objects.get(sku="s0").price  # noqa: E731
    read()
    clock.ahead = 910
    assert [outcome_of(read), outcome_of(read)] == ["stale", "stale"]
    assert pool.settle(0)
    no_threads.undo()
    read()
    settled()
    clock.ahead = 0
    assert outcome_of(read) == "hit"


def test_a_near_cache_that_can_not_listen_keeps_nothing(goods, no_threads):
    near = current_store().near
    near.close()
    assert near._start(frozenset({"cp:tag:x"})) is None
    no_threads.undo()
    assert near._start(frozenset({"cp:tag:x"})) is not None
    near.close()


def test_a_recorder_without_a_thread_tries_again(no_threads):
    recorder = Recorder()
    recorder._start()
    assert recorder._thread is None
    no_threads.undo()
    recorder._start()
    assert recorder._thread is not None
    recorder.close()


def test_what_nobody_would_read_again_is_not_stored(fresh, monkeypatch):
    """It may be small when compressed."""
    monkeypatch.setattr(entry, "_INFLATED_MAX", 10_000)
    Everything.objects.create(text="a" * 20_000)
    with seen() as found:
        for _ in range(2):
            assert len(Everything.objects.filter(flag=None)[0].text) == 20_000
    assert [(e.outcome, e.reason) for e in found.reads] == [("miss", "too large")] * 2


def test_who_shares_what_can_not_be_read_asks_for_himself(goods, monkeypatch):
    pk, gate = goods[2][0].pk, Gate()
    store = current_store()
    original, first = store.store, [True]

    def holds(*args, **kwargs):
        if first:
            first.clear()
            gate.wait()
        return original(*args, **kwargs)

    monkeypatch.setattr(store, "store", holds)
    monkeypatch.setattr(loading, "unpack", refuse)
    read = lambda: Item.objects.get(pk=pk).price  # noqa: E731
    with running(read) as one:
        assert gate.reached.wait(20)
        with running(read) as other:
            began = time.monotonic()
            while not loading.flights._waiting:
                assert time.monotonic() - began < 20
            gate.open.set()
            assert other() == 0
        assert one() == 0


def refuse(payload):
    from cachepatterns.exceptions import CorruptEntry

    raise CorruptEntry("of whatever reason")
