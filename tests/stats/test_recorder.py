"""What processes count arrives in the fleet's buckets, and never disturbs anybody."""

import logging
import os
import time

import pytest
from django.db import connection

from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import BackendError
from cachepatterns.observe import ErrorEvent, InvalidationEvent, ReadEvent, RefreshEvent
from cachepatterns.stats import tally
from cachepatterns.stats.buckets import MINUTES, PERIODS
from cachepatterns.stats.recorder import Recorder
from cachepatterns.stats.report import report
from cachepatterns.stats.summing import amounts, numbers
from tests.events import seen

HIT = ReadEvent("app.item", "list:category", "hit", 0.0004)
MISS = ReadEvent("app.item", "list:category", "miss", 0.005, 0.004, 800)
WRITE = InvalidationEvent(
    ("app.item",), ("app.item@ab:*", "app.item@ab:pk=7"), "save",
    object_pk="7", object_label="app.item", seconds=0.001,
)  # fmt: skip


def test_reads_of_several_processes_add_up(clock, recorder):
    other = Recorder(clock=clock, background=False)
    for _ in range(3):
        recorder(HIT)
    other(MISS)
    assert recorder.flush()
    assert other.flush()
    found = report(at=clock.now)
    assert (found.totals.hits, found.totals.misses) == (3, 1)
    assert found.totals.hit_rate == 0.75
    assert found.processes == 2


def test_each_period_sees_the_reads_that_fell_into_it(clock, recorder):
    recorder(HIT)
    recorder.flush()
    clock.now += 3 * 3600
    recorder(HIT)
    recorder.flush()
    hits = {name: report(period, at=clock.now).totals.hits for name, period in PERIODS.items()}
    assert hits == {"1h": 1, "6h": 2, "24h": 2, "7d": 2}


def test_reads_that_stand_for_many_count_as_many_and_spare_one_query(clock, recorder):
    recorder(ReadEvent("app.item", "row:pk", "hit", 0.001, count=20))
    recorder.flush()
    totals = report(at=clock.now).totals
    assert totals.hits == 20
    assert totals.queries_avoided == 1


def test_misses_tell_how_many_a_write_has_outdated_and_how_much_was_stored(clock, recorder):
    stored = ReadEvent("app.item", "row:pk", "miss", 0.01, 0.01, 4000, count=20, outdated=7)
    recorder(stored)
    recorder(MISS)
    recorder.flush()
    totals = report(at=clock.now).totals
    assert (totals.misses, totals.outdated) == (21, 7)
    assert (totals.stored_entries, totals.mean_size) == (21, 4800 / 21)


def test_bypasses_are_told_with_their_reasons_and_leave_the_hit_rate_alone(clock, recorder):
    recorder(HIT)
    recorder(ReadEvent("app.item", "list", "bypass", reason="extra()"))
    recorder.flush()
    totals = report(at=clock.now).totals
    assert totals.bypass_reasons == {"extra()": 1}
    assert totals.hit_rate == 1.0
    assert totals.reads == 2


def test_shared_loads_count_as_hits_of_the_rate_and_errors_against_it(clock, recorder):
    recorder(ReadEvent("app.item", "list", "shared", 0.002))
    recorder(ReadEvent("app.item", "list", "error", 0.002, 0.002))
    recorder.flush()
    assert report(at=clock.now).totals.hit_rate == 0.5


def test_negative_answers_are_hits_and_told_apart(clock, recorder):
    recorder(HIT)
    recorder(ReadEvent("app.item", "row:pk", "negative", 0.0004))
    recorder.flush()
    totals = report(at=clock.now).totals
    assert (totals.hits, totals.negatives, totals.hit_rate) == (2, 1, 1.0)
    assert totals.queries_avoided == 2
    assert sum(totals.hit_latency.counts.values()) == 2


def test_the_time_and_the_database_queries_avoided_are_estimated(clock, recorder):
    recorder(MISS)
    for _ in range(10):
        recorder(HIT)
    recorder.flush()
    totals = report(at=clock.now).totals
    assert totals.queries_avoided == 10
    assert totals.database_seconds_avoided == pytest.approx(0.040)
    assert totals.net_seconds == pytest.approx(0.040 - 0.004 - 0.001)


def test_invalidations_are_counted_and_the_newest_are_listed(clock, recorder):
    recorder(WRITE)
    clock.now += 1
    recorder(InvalidationEvent(("app.item", "app.label"), ("app.item@ab",), "raw SQL",
                               coarse=True, site="shop.jobs:12"))  # fmt: skip
    recorder.flush()
    found = report(at=clock.now)
    assert [doc.source for doc in found.invalidations] == ["raw SQL", "save"]
    assert found.invalidations[1].object_pk == "7"
    assert found.invalidations[0].site == "shop.jobs:12"
    assert found.totals.invalidations == 2
    item = found.model("app.item").numbers
    assert (item.invalidations, item.coarse, item.tags) == (2, 1, 3)
    assert item.sources == {"save": 1, "raw SQL": 1}


def test_the_tags_of_a_family_are_counted_as_those_of_a_model(clock, recorder):
    recorder(InvalidationEvent(("app.item", "#t"), ("app.item@ab", "#t:1", "#t:2", "#u"), "save"))
    recorder.flush()
    found = report(at=clock.now)
    assert [found.model(label).numbers.tags for label in ("app.item", "#t")] == [1, 2]


def test_two_hundred_invalidations_are_kept(clock, recorder):
    for number in range(250):
        recorder(InvalidationEvent(("app.item",), (f"#t:{number}",), "save"))
    recorder.flush()
    kept = report(at=clock.now).invalidations
    assert len(kept) == 200
    assert kept[0].tags == ["#t:249"]


def test_patterns_beyond_the_cap_are_counted_as_other(clock, recorder, monkeypatch):
    monkeypatch.setattr(tally, "MAX_PATTERNS", 2)
    for name in "abcd":
        recorder(ReadEvent("app.item", name, "hit"))
    recorder.flush()
    patterns = {p.pattern: p.numbers.hits for p in report(at=clock.now).model("app.item").patterns}
    assert patterns == {"a": 1, "b": 1, "other": 2}


def coarse(site, *labels, source="raw SQL"):
    tags = tuple(f"{label}@ab" for label in labels)
    return InvalidationEvent(labels, tags, source, coarse=True, site=site)


def test_coarse_writes_are_counted_by_call_site_for_the_whole_fleet(clock, recorder):
    other = Recorder(clock=clock, background=False)
    recorder(coarse("shop.jobs:12", "app.item", "app.label"))
    recorder(coarse("shop|odd:3", "app.item", source="bulk"))
    other(coarse("shop.jobs:12", "app.item"))
    recorder(WRITE)
    recorder.flush()
    other.flush()
    found = report(at=clock.now)
    assert found.model("app.item").numbers.call_sites == {
        ("raw SQL", "shop.jobs:12"): 2,
        ("bulk", "shop|odd:3"): 1,
    }
    assert found.model("app.label").numbers.call_sites == {("raw SQL", "shop.jobs:12"): 1}


def test_a_model_whose_rows_were_told_has_no_part_in_a_coarse_write_beside_it(clock, recorder):
    tags = ("app.item@ab:*", "app.item@ab:pk=7", "app.label@ab")
    recorder(InvalidationEvent(("app.item", "app.label"), tags, "delete", coarse=True, site="s:1"))
    recorder.flush()
    found = report(at=clock.now)
    assert found.model("app.item").numbers.call_sites == {}
    assert found.model("app.item").numbers.coarse == 0
    assert found.model("app.label").numbers.call_sites == {("delete", "s:1"): 1}


def test_call_sites_beyond_the_cap_are_counted_as_other_and_long_ones_cut(
    clock, recorder, monkeypatch
):
    monkeypatch.setattr(tally, "MAX_SITES", 2)
    for site in ("a:1", "b" * 500 + ":77", "c:3", "d:4", "a:1"):
        recorder(coarse(site, "app.item"))
    recorder.flush()
    sites = report(at=clock.now).model("app.item").numbers.call_sites
    long = next(call.site for call in sites if "b" in call.site)
    assert len(long) == tally.MAX_SITE_LENGTH
    assert long.endswith("b:77")
    assert sites == {("raw SQL", "a:1"): 2, ("raw SQL", long): 1, ("other", ""): 2}


def test_what_was_counted_during_a_failed_flush_is_capped_too(monkeypatch):
    monkeypatch.setattr(tally, "MAX_SITES", 1)
    ours, theirs = tally.Tally(), tally.Tally()
    ours.add(coarse("a:1", "app.item"))
    theirs.add(coarse("b:2", "app.item"))
    ours.merge(theirs)
    assert ours.sites == {("app.item", "raw SQL|a:1"): 1, ("app.item", "other"): 1}


@pytest.mark.django_db(transaction=True)
def test_raw_sql_is_counted_where_it_was_called(clock, recorder):
    with seen() as found, connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET price = 2")
    for event in found.events:
        recorder(event)
    recorder.flush()
    ((call, times),) = report(at=clock.now).model("app.item").numbers.call_sites.items()
    assert (call.source, times) == ("raw SQL", 1)
    assert call.site.startswith(f"{__name__}:")


@pytest.fixture
def redis_down(settings):
    def down() -> None:
        default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
        settings.CACHES = {**settings.CACHES, "default": default}

    return down


def test_with_redis_down_nothing_raises_and_nothing_is_lost(clock, recorder, settings, redis_down):
    was = settings.CACHES
    recorder(HIT)
    recorder(WRITE)
    redis_down()
    assert not recorder.flush()
    recorder(HIT)
    settings.CACHES = was
    assert recorder.flush()
    found = report(at=clock.now)
    assert found.totals.hits == 2
    assert len(found.invalidations) == 1
    assert found.dropped_flushes == 0


def test_a_flush_of_unknown_outcome_is_dropped_and_counted(clock, recorder, monkeypatch):
    def times_out(*args, **kwargs):
        raise BackendError("timeout")

    recorder(HIT)
    with monkeypatch.context() as patch:
        patch.setattr(current_store().backend, "add", times_out)
        assert not recorder.flush()
    assert recorder.flush()
    found = report(at=clock.now)
    assert found.totals.hits == 0
    assert found.dropped_flushes == 1


def test_flushing_is_never_counted_as_an_error_of_the_cache(clock, recorder, redis_down):
    with seen() as found:
        recorder(HIT)
        redis_down()
        recorder.flush()
        report()
    assert found.errors == []
    assert not current_store().is_open


def test_with_redis_down_there_is_still_a_report_that_says_so(redis_down):
    redis_down()
    found = report()
    assert found.state == "down"
    assert found.totals.reads == 0
    assert found.trouble


def test_the_state_tells_idle_from_ok_and_degraded(clock, recorder, settings):
    assert report(at=clock.now).state == "idle"
    recorder(HIT)
    recorder.flush()
    assert report(at=clock.now).state == "ok"
    recorder(ErrorEvent("read", "timeout"))
    recorder.flush()
    found = report(at=clock.now)
    assert found.state == "degraded"
    assert found.errors == {"read: timeout": 1}
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ENABLED": False}
    assert report(at=clock.now).state == "disabled"


def test_a_process_that_has_gone_is_no_longer_counted(clock, recorder):
    recorder(HIT)
    recorder.flush()
    assert report(at=clock.now + 9).processes == 1
    assert report(at=clock.now + 60).processes == 0


def test_switched_off_nothing_is_counted(clock, recorder, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "STATS": False}
    recorder(HIT)
    assert not recorder.flush()
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "STATS": True}
    recorder.flush()
    assert report(at=clock.now).totals.reads == 0


def test_the_thread_starts_by_itself_and_flushes(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "STATS_FLUSH_SECONDS": 0.01}
    lively = Recorder()
    lively(HIT)
    deadline = time.monotonic() + 10
    while report().totals.hits == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert report().totals.hits == 1
    lively.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_reports_nothing_of_its_parents(clock, recorder):
    from cachepatterns.stats import recorder as module

    module.recorder(HIT)
    parent = module.recorder._process
    child = os.fork()
    if child == 0:
        mine = module.recorder
        fresh = not mine._events and mine._thread is None and mine._process != parent
        os._exit(0 if fresh else 1)
    assert os.waitpid(child, 0)[1] == 0
    module.recorder.forget()


def test_buckets_end_with_their_period(clock, recorder, own_prefix):
    recorder(HIT)
    recorder.flush()
    key = MINUTES.key(MINUTES.number(clock.now))
    (info,) = current_store().backend.inspect([key])
    assert 3600 < info.ttl <= 3600 + 11 * 60
    assert key.startswith(f"{own_prefix}:stats:")


def test_what_is_no_field_of_ours_is_left_out(clock, recorder):
    key = MINUTES.key(MINUTES.number(clock.now))
    current_store().backend.add({key: {"nonsense": 3, "q|a|b|c": 4}}, 60)
    assert report(at=clock.now).totals.reads == 0


def test_failing_flushes_are_logged_once_per_burst(clock, recorder, redis_down, caplog):
    from cachepatterns.stats import recorder as module

    module.log._last = float("-inf")
    redis_down()
    with caplog.at_level(logging.ERROR, logger="cachepatterns"):
        for _ in range(5):
            recorder(HIT)
            recorder.flush()
    assert sum("could not flush" in line.message for line in caplog.records) == 1


def test_what_is_past_its_time_and_what_is_refreshed_is_told_apart():
    counted = tally.Tally()
    counted.add(ReadEvent("app.item", "list", "stale", reason="expired", count=2))
    counted.add(RefreshEvent("app.item", "list", "refreshed", load_seconds=0.2, stored_bytes=80))
    counted.add(RefreshEvent("app.item", "list", "skipped", "pool full"))
    found = numbers(amounts(counted.written()))
    assert (found.hits, found.stale, found.stored_entries) == (2, 2, 1)
    assert found.done == {
        "stale: expired": 2,
        "refresh: refreshed": 1,
        "refresh: skipped: pool full": 1,
    }
