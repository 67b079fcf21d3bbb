"""Early refresh (XFetch), and lives that hits prolong (adaptive TTL)."""

import pytest
from django.db import connection

from cachepatterns.backends.store import Store, current_store
from cachepatterns.core import outcome
from cachepatterns.core.entry import unpack
from cachepatterns.read import softly
from tests.app.models import Item
from tests.events import eventually, outcome_of, seen
from tests.policies import policy_of
from tests.soft import clock, entries, settled, tiers, ttls  # noqa: F401


def listed():
    return [item.price for item in Item.objects.filter(active=True)]


def many():
    return list(Item.objects.in_bulk(["s0", "s1"], field_name="sku"))


# -- early ---------------------------------------------------------------------------------------


@pytest.fixture
def eager(goods, settings, clock, monkeypatch):  # noqa: F811
    """Any load counts as one of ten seconds: then a reader with average luck (1 - 1/e) refreshes
    in the last ten seconds."""
    tiers(settings, early_refresh=1.0)
    clock.luck = 0.0
    monkeypatch.setattr(softly.random, "random", lambda: clock.luck)
    is_due = softly.Softness.is_due_early
    monkeypatch.setattr(
        softly.Softness,
        "is_due_early",
        lambda self, left, took, random: is_due(self, left, 10.0, random),
    )
    return clock


def test_near_its_end_an_entry_is_refreshed_by_a_reader_with_luck(eager):
    listed()
    eager.ahead = 895  # five seconds before its end
    eager.luck = 0.1
    with seen() as found:
        assert listed()
        settled()
    assert (found.outcomes, found.refreshes) == (["hit"], [])
    eager.luck = 0.9
    with seen() as found:
        assert listed()
        settled()
    assert found.outcomes == ["hit"]  # nobody waits, and what is served is not past its time
    assert [e.result for e in found.refreshes] == [outcome.REFRESHED]


def test_long_before_its_end_it_is_not(eager):
    listed()
    eager.luck = 0.999
    eager.ahead = 500
    with seen() as found:
        listed()
        settled()
    assert found.refreshes == []


def test_an_entry_is_not_kept_in_redis_for_longer_because_of_it(eager):
    listed()
    assert max(ttls()) <= 900


# -- longer lives -------------------------------------------------------------------------------


@pytest.fixture
def adaptive(goods, settings, clock):  # noqa: F811
    tiers(settings, max_age=3000)
    return clock


@pytest.mark.parametrize(("read", "kind"), [(listed, "q"), (many, "row")])
def test_a_hit_in_the_last_quarter_of_its_life_gives_an_entry_another_one(adaptive, read, kind):
    read()
    adaptive.ahead = 600
    assert outcome_of(read) == "hit"
    assert max(e.ttl for e in entries(kind)) < 902
    adaptive.ahead = 800
    with seen() as found:
        read()
    assert {e.result for e in found.refreshes} == {outcome.EXTENDED}
    eventually(lambda: min(e.ttl for e in entries(kind)) > 1690)
    assert 890 < max(ttls(kind)) <= 900
    with seen() as found:
        read()
    assert found.refreshes == []  # once is enough


def test_no_life_is_longer_than_the_greatest_age(adaptive):
    listed()
    for age in (800, 1600, 2400, 2990):
        adaptive.ahead = age
        assert outcome_of(listed) == "hit"
        eventually(lambda age=age: entries()[0].ttl >= min(age + 890, 2999))
        assert entries()[0].ttl <= 3001
    adaptive.ahead = 3002
    assert outcome_of(listed) == "miss"


def test_what_nobody_asks_for_is_not_prolonged(adaptive):
    listed()
    assert max(ttls()) <= 900
    adaptive.ahead = 901
    assert outcome_of(listed) == "miss"


def test_a_life_that_is_prolonged_while_a_writer_bumps_is_worth_nothing(adaptive, monkeypatch):
    """The reader has judged the entry; before its command is sent, a write commits and bumps."""
    listed()
    adaptive.ahead = 800
    prolong = Store.prolong

    def late(self, *args):
        Item.objects.update(price=99)
        return prolong(self, *args)

    monkeypatch.setattr(Store, "prolong", late)
    listed()
    monkeypatch.undo()
    assert set(listed()) == {99}


def test_an_entry_that_was_dropped_meanwhile_is_not_brought_back(adaptive, monkeypatch):
    listed()
    adaptive.ahead = 800
    client = current_store().backend._client()
    [key] = client.keys("*:q:app.item.*")
    prolong = Store.prolong

    def late(self, *args):
        client.delete(key)
        return prolong(self, *args)

    monkeypatch.setattr(Store, "prolong", late)
    listed()
    current_store().backend.ping()
    assert client.get(key) is None


def test_stamps_outlive_the_longest_life_from_the_start(adaptive, settings):
    tiers(settings, max_age=20_000)
    listed()
    client = current_store().backend._client()
    for key in client.keys("*:tag:app.item@*"):
        assert client.pttl(key) / 1000 > 20_000


def test_the_near_cache_has_redis_asked_before_the_end(goods, settings, clock):  # noqa: F811
    """Else an entry that is asked for all the time would end, since Redis never hears of it."""
    tiers(settings, max_age=3000, local=True)
    with policy_of(Item, accepts_staleness=60.0):
        listed()
        eventually(lambda: outcome_of(listed) == "near")
        near = current_store().near
        (kept,) = [kept for key, kept in near._kept.items() if ":q:app.item" in key]
        assert 600 < kept.until - near._clock() <= 675  # 900 but for its last quarter
        clock.ahead = 800
        near.clear()
        with seen() as found:
            listed()
        assert [e.result for e in found.refreshes] == [outcome.EXTENDED]
    near.close()


def test_a_tier_without_any_of_it_pays_nothing(goods, silent_recorder):
    with seen():
        listed()
    client = current_store().backend._client()
    client.config_resetstat()
    assert outcome_of(listed) == "hit"
    calls = {name: said["calls"] for name, said in client.info("commandstats").items()}
    assert calls.get("cmdstat_mget") == 1
    assert not {"cmdstat_set", "cmdstat_pexpire", "cmdstat_expire"} & {*calls}
    with connection.cursor():
        assert unpack(client.get(client.keys("*:q:app.item.*")[0])).rows == 4
