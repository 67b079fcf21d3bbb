"""Warm-ups beside writers and beside each other: what must not happen, forced."""

import threading

import pytest
from django.db import connection

from cachepatterns.backends.store import current_store
from cachepatterns.read import claim, loading
from cachepatterns.registry import site
from cachepatterns.warming import declared_jobs, run
from tests.app.caching import ItemPolicy
from tests.app.models import Item
from tests.events import outcome_of
from tests.integration.threads import Gate, hold_first_store, running

pytestmark = pytest.mark.without_outbox


def jobs(**options):
    return list(declared_jobs(site.policy_for(Item), **options))


@pytest.fixture
def warmable(goods, monkeypatch):
    """The items' policy declares one list for each of two categories."""
    a, b, _items = goods

    def warm(self):
        yield Item.objects.filter(category=a)
        yield Item.objects.filter(category=b)

    monkeypatch.setattr(ItemPolicy, "warm", warm)
    return goods


class Counted:
    """The statements that a thread sends, the first of which may be held."""

    def __init__(self, gate=None):
        self.sent, self._gate = [], gate

    def __call__(self, execute, sql, *args):
        if sql.startswith("SELECT") and "app_item" in sql:
            self.sent.append(sql)
            if self._gate is not None and len(self.sent) == 1:
                self._gate.wait()
        return execute(sql, *args)

    def warming(self, **options):
        def warm():
            with connection.execute_wrapper(self):
                return run(jobs(**options))

        return warm


@pytest.mark.parametrize("at", ["the query", "the store"])
def test_a_warm_up_leaves_no_old_value_while_a_writer_commits(warmable, at, monkeypatch):
    """The warmer loads price 0, or is about to; a writer commits 9; the warmer stores."""
    a, _b, items = warmable
    gate = Gate()
    if at == "the store":
        hold_first_store(monkeypatch, gate)
    counted = Counted(gate if at == "the query" else None)
    with running(counted.warming(batch_size=10)) as warmed:
        assert gate.reached.wait(20)
        Item.objects.filter(pk=items[0].pk).update(price=9)
        gate.open.set()
        assert warmed().results["app.item"].finished
    assert [item.price for item in Item.objects.filter(category=a)] == [9, 2]
    assert Item.objects.get(pk=items[0].pk).price == 9


class OfAnotherProcess:
    """Flights as two processes have them: nobody shares his with the other."""

    def lead(self, flight):
        return lambda payload: None


def test_two_warm_ups_at_once_load_each_thing_once(warmable, monkeypatch):
    """Both have missed before the first has its answer. The loads are known to be quick ones, of
    which readers claim none."""
    claim._times.update({("app.item", "list:category"): 0.0001, ("app.item", "row:pk"): 0.0001})
    monkeypatch.setattr(loading, "flights", OfAnotherProcess())
    came_late, backend = threading.Event(), current_store().backend
    original = backend.claim

    def claiming(*args):
        is_mine = original(*args)
        if not is_mine:
            came_late.set()
        return is_mine

    monkeypatch.setattr(backend, "claim", claiming)
    gate = Gate()
    one, other = Counted(gate), Counted()
    warming = {"batch_size": 1}
    with running(one.warming(**warming)) as first:
        assert gate.reached.wait(20)
        with running(other.warming(**warming)) as second:
            assert came_late.wait(20)
            gate.open.set()
            assert not first().results["app.item"].failed
            assert not second().results["app.item"].failed
    sent = [*one.sent, *other.sent]
    lists = [sql for sql in sent if '"category_id" = ' in sql]
    rows = [sql for sql in sent if sql not in lists]
    assert (len(lists), len(rows)) == (2, 4)


def test_what_it_has_stored_is_a_hit_for_readers(warmable):
    a, _b, items = warmable
    run(jobs(batch_size=2), workers=2)
    assert outcome_of(lambda: list(Item.objects.filter(category=a))) == "hit"
    assert outcome_of(lambda: Item.objects.get(pk=items[3].pk)) == "hit"


def test_a_reader_beside_it_is_not_counted_as_its_own(warmable):
    gate = Gate()
    counted = Counted(gate)
    with running(counted.warming()) as warmed:
        assert gate.reached.wait(20)
        list(Item.objects.filter(active=True))
        gate.open.set()
        assert warmed().results["app.item"].stored == 2
