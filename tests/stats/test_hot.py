"""What is read most is found by a bounded sample, and can be asked for again."""

import threading

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from cachepatterns import sampling
from cachepatterns.backends.store import current_store
from cachepatterns.core.key import stats_key
from cachepatterns.hotkeys import STORED, WARM, hottest
from cachepatterns.purging import everything, purge
from cachepatterns.registry import site
from cachepatterns.stats import hot as module
from cachepatterns.stats.hot import SLOTS, HotReads
from cachepatterns.stats.recorder import recorder as our_recorder
from tests.app.models import Category, Item
from tests.policies import policy_of


class Asked:
    def __init__(self, key, label="app.item", pattern="list"):
        self.key, self.label, self.pattern = key, label, pattern


@pytest.fixture
def items(transactional_db):
    category = Category.objects.create(name="Chairs", slug="chairs")
    return [Item.objects.create(name=n, sku=n, category=category, price=1) for n in "abc"]


@pytest.fixture(autouse=True)
def silent(settings, own_prefix, silent_recorder):
    """Only what a test flushes is told."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "HOT_SHARE": 0.02}


def told():
    our_recorder.hot.flush(current_store().backend)
    return {each.pattern: each for each in hottest()}


def test_the_most_read_of_a_stream_is_found_in_a_fixed_number_of_slots(clock):
    reads = HotReads(clock)
    for number in range(20_000):
        reads.take(Asked(f"rare:{number}"), 1, None)
        if number % 10 == 0:
            reads.take(Asked("often"), 1, None)
    assert len(reads._slots) == SLOTS
    reads.flush(current_store().backend)
    (first, *_others) = module.hottest(at=clock.now)
    assert first.key == "often"
    assert first.reads == 2000


def test_a_key_that_took_another_s_place_is_not_told_as_read_as_often(clock):
    reads = HotReads(clock)
    for number in range(SLOTS):
        for _ in range(5):
            reads.take(Asked(f"key:{number}"), 1, None)
    reads.take(Asked("late"), 1, None)
    reads.take(Asked("late"), 1, None)
    reads.flush(current_store().backend)
    found = {each.key: each.reads for each in module.hottest(1000, at=clock.now)}
    assert found.get("late", 2) == 2


def test_what_is_read_while_it_is_told_is_told_the_next_time(clock):
    reads, backend = HotReads(clock), current_store().backend

    class Meanwhile:
        def add(self, *args):
            backend.add(*args)
            reads.take(Asked("k"), 10, None)

    reads.flush(backend)  # the minute's first
    for _ in range(3):
        reads.take(Asked("k"), 10, None)
    reads.flush(Meanwhile())
    reads.flush(backend)
    assert [each.reads for each in module.hottest(at=clock.now)] == [40]


def test_flushes_add_up_and_minutes_begin_anew(clock):
    one, other = HotReads(clock), HotReads(clock)
    backend = current_store().backend
    for reads in (one, other):
        for _ in range(3):
            reads.take(Asked("k"), 10, None)
    one.flush(backend)
    other.flush(backend)
    one.flush(backend)  # nothing has come since
    clock.now += 61
    for _ in range(2):
        one.take(Asked("k"), 10, None)
    one.flush(backend)
    assert [(h.key, h.reads) for h in module.hottest(at=clock.now)] == [("k", 80)]


def test_of_many_reads_only_a_share_is_told_and_each_stands_for_those_passed_over(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "HOT_SHARE": 0.1}
    heard = []
    before = sampling._taker
    sampling.begin(lambda question, reads, remember: heard.append(reads))
    try:
        for _ in range(sampling.EAGER):
            assert sampling.share == 1.0
            sampling.tell(None)
        sampling.tell(None)
        assert sampling.share == 0.1
        sampling.tell(None)
        assert heard[0] == 1
        assert heard[-1] == 10
        sampling.tell_some([str(n) for n in range(30)], str)
        assert len(heard) == sampling.EAGER + 5
    finally:
        sampling.begin(before)


def test_none_are_noted_where_the_share_is_zero(settings, items):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "HOT_SHARE": 0}
    sampling.renew()
    for _ in range(3):
        Item.objects.get(pk=items[0].pk)
    assert told() == {}


def read_everything(items):
    Item.objects.get(pk=items[0].pk)
    Item.objects.get(sku="b")
    list(Item.objects.filter(category=items[0].category_id))
    list(Item.objects.filter(category__slug="chairs").values_list("name", flat=True))
    Item.objects.filter(active=True).count()
    Item.objects.filter(stock=0).exists()
    Item.objects.filter(price__gt=0).aggregate(Sum("rating"))
    Item.objects.annotate(n=Sum("stock")).filter(n=0).order_by("pk").first()


@pytest.mark.parametrize("shortcuts", [True, False], ids=["shortcuts", "compiled"])
def test_what_was_hot_can_be_asked_again_after_everything_was_lost(settings, items, shortcuts):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
    for _ in range(3):
        read_everything(items)
    found = told()
    assert {"row:pk", "row:sku", "list:category"} < set(found)
    assert len(hottest()) == 8
    assert all(each.sql or each.is_row for each in hottest())
    assert {each.warm() for each in hottest()} == {WARM}

    purge(everything(), "test")  # spares the statistics
    assert {each.warm() for each in hottest()} == {STORED}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        read_everything(items)
    assert not queries.captured_queries


def test_finding_out_the_statement_of_a_hit_sends_none(settings, items):
    Item.objects.filter(active=True).count()
    our_recorder.hot.forget()  # so that the next two are hits, both of them sampled
    with CaptureQueriesContext(connection) as queries:
        for _ in range(2):
            Item.objects.filter(active=True).count()
    assert not queries.captured_queries
    (each,) = told().values()
    assert "COUNT(*)" in each.sql


def test_a_row_outlives_a_change_of_its_model_a_query_does_not(items):
    for _ in range(2):
        Item.objects.get(pk=items[0].pk)
        list(Item.objects.filter(category=items[0].category_id))
    told()
    with policy_of(Item, version=2):
        found = {each.pattern: each.warm() for each in hottest()}
    assert found == {"row:pk": STORED, "list:category": "other schema"}


def test_what_may_not_be_cached_any_more_is_not_warmed(items):
    for _ in range(2):
        Item.objects.get(pk=items[0].pk)
        list(Item.objects.filter(category=items[0].category_id))
    told()
    with policy_of(Item, tier="never"):
        assert {each.warm() for each in hottest()} == {"tier never"}


def test_a_statement_that_is_not_signed_by_us_is_not_run(items):
    for _ in range(2):
        list(Item.objects.filter(category=items[0].category_id))
    (each,) = told().values()
    backend, key = current_store().backend, module.remembered_key(each.key)
    (kept,) = backend.get_many([key])
    forged = kept.replace(b"SELECT", b"selecT")
    assert forged != kept
    backend.store([(key, forged, 60.0)], [], 60.0)
    (each,) = hottest()
    assert each.sql == ""
    assert each.warm() == "statement not kept"


def test_in_bulk_s_rows_are_told_one_by_one(items):
    for _ in range(2):
        Item.objects.in_bulk([item.pk for item in items])
    told()
    assert sorted(each.reads for each in hottest()) == [2, 2, 2]


def test_threads_that_read_at_once_lose_nothing(clock):
    reads = HotReads(clock)

    def read():
        for number in range(2000):
            reads.take(Asked(f"k{number % 5}"), 1, None)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reads.flush(current_store().backend)
    assert sum(each.reads for each in module.hottest(at=clock.now)) == 8000


def test_cache_stats_shows_them(items, capsys):
    from django.core.management import call_command

    for _ in range(2):
        Item.objects.get(pk=items[0].pk)
    told()
    call_command("cache_stats", "--hot")
    shown = capsys.readouterr().out
    assert f":{items[0].pk}" in shown
    assert "row:pk" in shown
    call_command("cache_stats", "app.Category", "--hot")
    assert "No key" in capsys.readouterr().out
    assert stats_key(settings_prefix(), "hot") in module.hour_key(0)


def settings_prefix():
    from cachepatterns.conf import config

    assert site.policies()
    return config().PREFIX
