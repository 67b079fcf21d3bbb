"""Without a lease nothing is served: what a writer that is cut off can cause is bounded by it."""

import contextlib
import os
import signal
from dataclasses import replace

import pytest
from django.db import connection

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import lease_key
from cachepatterns.quarantine import declare_no_writers
from cachepatterns.transactions import database_id
from cachepatterns.write.relay import Relay
from shop.servers import EmbeddedValkey
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of, seen
from tests.outbox.conftest import told_by_trigger, waiting


def price(pk):
    return Item.objects.get(pk=pk).price


def is_leased():
    key = lease_key(config().PREFIX, database_id(connection))
    return current_store().backend.read([], [key], [key]).leased


def take_lease_away():
    current_store().backend.delete([lease_key(config().PREFIX, database_id(connection))])


def test_without_a_lease_the_database_answers_and_nothing_is_stored(goods, relay):
    category, items = goods
    pks = [item.pk for item in items]

    def reads():
        price(pks[0])
        Item.objects.in_bulk(pks)
        list(Item.objects.filter(category=category))

    with seen() as found:
        reads(), reads()
    assert {(read.outcome, read.reason) for read in found.reads} == {("miss", "no lease")}
    assert {read.stored_bytes for read in found.reads} == {0}
    relay.round()
    reads()
    with seen() as found:
        reads()
    assert set(found.outcomes) == {"hit"}
    take_lease_away()
    with seen() as found:
        reads()
    assert {(read.outcome, read.reason) for read in found.reads} == {("miss", "no lease")}


def test_it_costs_no_round_trip(goods, relay, monkeypatch):
    pk = goods[1][0].pk
    relay.round()
    price(pk)
    lines = current_store().backend.lines
    calls = []
    call = lines.call
    monkeypatch.setattr(lines, "call", lambda words: calls.append(words) or call(words))
    assert outcome_of(lambda: price(pk)) == "hit"
    assert len(calls) == 1


def test_it_counts_from_before_the_database_was_asked(goods, relay, monkeypatch):
    """A relay that is paused between its question and its answer vouches for the past."""
    backend = current_store().backend
    moment = backend.moment
    long_ago = config().LEASE_SECONDS + 1
    monkeypatch.setattr(backend, "moment", lambda: replace(moment(), at=moment().at - long_ago))
    assert not relay.round().leased
    assert not is_leased()


def test_redis_is_asked_for_the_time_before_the_database_is_asked_anything(
    goods, relay, monkeypatch
):
    backend, order = current_store().backend, []
    moment = backend.moment
    monkeypatch.setattr(backend, "moment", lambda: order.append("time") or moment())

    def note(execute, *args):
        order.append("question")
        return execute(*args)

    with connection.execute_wrapper(note):
        relay.round()
    assert order[:2] == ["time", "question"]


def test_a_commit_after_the_question_is_not_vouched_for_by_the_answer(
    goods, relay, monkeypatch, settings
):
    """The interleaving: relay asks, writer commits and can not bump, relay renews. The lease
    must end at most one length after the question."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 0.3}
    pk = goods[1][0].pk
    relay.round()
    for _ in range(2):
        price(pk)
    backend = current_store().backend
    lease = backend.lease

    def commit_first(*args):
        connection.connection.execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])
        told_by_trigger()
        return lease(*args)

    monkeypatch.setattr(backend, "lease", commit_first)
    relay.round()
    monkeypatch.undo()
    eventually(lambda: price(pk) == 9)
    assert waiting() == 1
    assert outcome_of(lambda: price(pk)) == "miss"
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 3600}
    relay.round()
    price(pk)
    assert (outcome_of(lambda: price(pk)), price(pk)) == ("hit", 9)


@contextlib.contextmanager
def paused(server):
    pid = int(server.pid_file.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_redis_away_at_a_write_whose_process_then_dies(outbox, settings, tmp_path):
    """It comes back with everything it had, the old entry and its stamps too."""
    with EmbeddedValkey(tmp_path) as server:
        default = {**settings.CACHES["default"], "LOCATION": server.url}
        # What the write sends while the server is paused is waited for in vain.
        default["OPTIONS"] = {**default["OPTIONS"], "SOCKET_TIMEOUT": 0.5}
        settings.CACHES = {**settings.CACHES, "default": default}
        settings.CACHEPATTERNS = {
            **settings.CACHEPATTERNS,
            "BREAKER_SECONDS": 0.01,
            "LEASE_SECONDS": 0.3,
            "FENCE_SECONDS": 0.5,
        }
        declare_no_writers()
        category = Category.objects.create(name="c", slug="c")
        item = Item.objects.create(name="i", sku="i", category=category, price=1)
        with contextlib.closing(Relay("default")) as relay:
            eventually(lambda: relay.round().leased and outcome(item) == "hit")
            with paused(server):
                item.price = 9
                item.save()
            current_store()._undelivered.clear()  # what dies with its process
            eventually(lambda: not current_store().is_open and not is_leased())
            assert [event.token for event in _waiting()] == [""]
            assert price(item.pk) == 9
            settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 3600}
            relay.round()
            eventually(lambda: outcome(item) == "hit")  # what it had sent late has expired
            assert price(item.pk) == 9


def outcome(item):
    return outcome_of(lambda: price(item.pk))


def _waiting():
    from cachepatterns.models import InvalidationEvent

    return InvalidationEvent.objects.filter(delivered_at=None)


@pytest.mark.parametrize("seconds", [100, 3600])
def test_the_lease_lasts_as_long_as_the_settings_say(goods, relay, settings, seconds):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": seconds}
    relay.round()
    (info,) = current_store().backend.inspect(
        [lease_key(config().PREFIX, database_id(connection))]
    )
    assert seconds - 60 < info.ttl <= seconds
