"""Whatever ails the cache, the database answers, the error is counted and logged once."""

import logging
import os
import signal
from pathlib import Path

import pytest
import redis
from django.core.cache import caches

from cachepatterns.backends import store as store_module
from cachepatterns.backends.store import current_store
from cachepatterns.core.key import tag_key
from shop.servers import EmbeddedValkey
from tests.app.models import Item
from tests.calm import nobody_writes
from tests.events import eventually, outcome_of, seen
from tests.impatience import impatient


@pytest.fixture
def own_valkey(tmp_path, settings, transactional_db):
    """A Valkey of this test's own, to be hurt; no breaker unless the test wants one."""
    with EmbeddedValkey(Path(tmp_path)) as server:
        default = {**settings.CACHES["default"], "LOCATION": server.url}
        settings.CACHES = {**settings.CACHES, "default": default}
        settings.CACHEPATTERNS = {"BREAKER_SECONDS": 0, "FENCE_SECONDS": 0.5}
        nobody_writes()
        yield server
        caches["default"].close()


@pytest.fixture
def item(own_valkey):
    from tests.app.models import Category

    category = Category.objects.create(name="c", slug="c")
    return Item.objects.create(name="i", sku="i", category=category, price=1)


def price(item):
    return Item.objects.get(pk=item.pk).price


def admin(server) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_a_killed_server_costs_no_page_its_answer(item, own_valkey):
    price(item)
    os.kill(own_valkey.pid, signal.SIGKILL)
    with seen() as found:
        assert price(item) == 1
    assert found.outcomes == ["error"]
    assert found.errors[0].kind == "connection"


def test_a_stopped_server_times_out_and_the_database_answers(item, own_valkey):
    price(item)
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        with impatient(current_store().backend), seen() as found:
            assert price(item) == 1
        assert found.outcomes == ["error"]
        assert found.errors[0].kind == "timeout"
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)


def test_a_full_server_that_refuses_writes_is_survived(item, own_valkey):
    with admin(own_valkey) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
    with seen() as found:
        assert price(item) == 1
    assert found.outcomes == ["error"]
    assert found.errors[0].kind == "oom"


def test_a_read_only_replica_is_survived(item, own_valkey):
    with admin(own_valkey) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with seen() as found:
            assert price(item) == 1
            item.price = 2
            item.save()
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert "readonly" in {e.kind for e in found.errors}
    assert price(item) == 2


def test_a_key_of_the_wrong_type_is_a_miss(item, own_valkey):
    price(item)
    with admin(own_valkey) as client:
        (key,) = client.keys("cp:row:app.item*")
        client.delete(key)
        client.lpush(key, "not an entry")
        assert price(item) == 1
        assert price(item) == 1


def test_hostile_and_truncated_bytes_are_a_miss_and_a_counted_error(item, own_valkey):
    price(item)
    with admin(own_valkey) as client:
        (key,) = client.keys("cp:row:app.item*")
        honest = client.get(key)
        for bad in (b"", b"\x00", honest[:-1], honest + b"\x00", b"\x9f" * 50, b"cos\nsystem"):
            client.set(key, bad)
            with seen() as found:
                assert price(item) == 1
            assert found.outcomes == ["miss"], bad
            assert [e.kind for e in found.errors] == ["corrupt"], bad


def test_of_many_rows_a_damaged_one_is_a_counted_error_and_the_others_are_hits(item, own_valkey):
    others = [
        Item.objects.create(name=name, sku=name, category=item.category, price=price)
        for name, price in (("before", 7), ("after", 8))
    ]
    pks = [item.pk, others[0].pk, others[1].pk]
    Item.objects.in_bulk(pks)
    with admin(own_valkey) as client:
        (key,) = client.keys(f"cp:row:app.item*:{item.pk}")
        client.set(key, client.get(key)[:-1])
    with seen() as found:
        assert [each.price for each in Item.objects.in_bulk(pks).values()] == [1, 7, 8]
    assert [(read.outcome, read.count) for read in found.reads] == [("miss", 1), ("hit", 2)]
    assert [error.kind for error in found.errors] == ["corrupt"]
    with seen() as found:
        assert list(Item.objects.in_bulk(pks)) == pks
    assert [(read.outcome, read.count) for read in found.reads] == [("hit", 3)]


def test_a_bump_that_fails_is_delivered_before_this_process_reads_again(item, own_valkey):
    assert price(item) == 1
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        with impatient(current_store().backend):
            Item.objects.filter(pk=item.pk).update(price=5)
            assert current_store().undelivered > 0
            assert price(item) == 5
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
    assert price(item) == 5
    # At once, mostly; but a server that has just woken up may be late with its answer too.
    eventually(lambda: price(item) == 5 and current_store().undelivered == 0)
    # The registration that timed out may have arrived all the same; then it expires.
    eventually(lambda: outcome_of(lambda: price(item)) == "hit")
    assert price(item) == 5


def test_an_error_is_logged_once_per_burst(item, own_valkey, caplog, monkeypatch):
    monkeypatch.setattr(store_module.log, "_last", float("-inf"))
    os.kill(own_valkey.pid, signal.SIGKILL)
    with caplog.at_level(logging.ERROR, "cachepatterns"):
        for _ in range(5):
            price(item)
    assert len([r for r in caplog.records if r.name == "cachepatterns"]) == 1


def test_after_a_connection_error_the_cache_is_left_alone_for_a_while(item, own_valkey, settings):
    settings.CACHEPATTERNS = {"BREAKER_SECONDS": 3600}
    price(item)
    os.kill(own_valkey.pid, signal.SIGKILL)
    price(item)
    with seen() as found:
        assert price(item) == 1
    assert found.outcomes == ["error"]
    assert found.errors == []  # nobody asked the server again


def test_values_too_large_are_served_and_not_stored(item, settings):
    settings.CACHEPATTERNS = {"MAX_VALUE_BYTES": 10, "BREAKER_SECONDS": 0}
    for _ in range(2):
        with seen() as found:
            assert price(item) == 1
        assert (found.outcomes, found.reasons) == (["miss"], ["too large"])


def test_stamps_that_are_evicted_only_cost_misses(item, own_valkey):
    price(item)
    with admin(own_valkey) as client:
        for key in client.keys(tag_key("cp", "*")):
            client.delete(key)
            assert outcome_of(lambda: price(item)) in ("miss", "hit")
            assert price(item) == 1


def test_a_wrong_alias_breaks_neither_reads_nor_writes(item, settings):
    """The checks name it; a server that does not run them still answers."""
    settings.CACHEPATTERNS = {"ALIAS": "no such alias"}
    item.price = 4
    item.save()
    assert Item.objects.filter(pk=-1).update(price=1) == 0
    with seen() as found:
        assert price(item) == 4
        assert list(Item.objects.in_bulk([item.pk])) == [item.pk]
        assert Item.objects.count() == 1
    assert found.outcomes == ["error"] * 3
