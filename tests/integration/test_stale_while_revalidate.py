"""Stale-while-revalidate: what is expired is served while it is loaded anew, what a write has
outdated is not.

The interleavings that must not happen: a refresh loads the old row, a write commits and bumps, the
refresh stores, and readers are served it; what was invalidated is served as merely expired; every
process refreshes the same; a read that decides a write acts on what is past its time.
"""

from threading import Event

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.db.models import Avg

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.key import claim_key
from cachepatterns.observe import BurstLog
from cachepatterns.read import claim, revalidating, softly
from cachepatterns.read.pool import Pool
from cachepatterns.read.statement import Statement
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of, seen
from tests.integration.threads import Gate
from tests.policies import policy_of
from tests.soft import clock, entries, settled, tiers, ttls  # noqa: F401

EXPIRED = 910
"""Seconds: past the TTL of 900, and within the 300 that follow."""

READS = {
    "a row": lambda: Item.objects.get(sku="s0").price,
    "a list": lambda: [i.price for i in Item.objects.filter(active=True)],
    "a compiled list": lambda: list(Item.objects.filter(name__regex="item").values_list("price")),
    "a single row of a list": lambda: Item.objects.filter(name__regex="m 1").first().price,
    "a count": lambda: Item.objects.filter(active=True).count(),
    "whether there is one": lambda: Item.objects.filter(active=True).exists(),
    "an aggregate": lambda: Item.objects.filter(active=True).aggregate(Avg("stock")),
    "raw SQL": lambda: [
        i.name for i in Item.objects.raw("SELECT * FROM app_item WHERE id > %s", [0], tags=[Item])
    ],
    "many rows": lambda: [i.price for i in Item.objects.in_bulk(SKUS, field_name="sku").values()],
}
SKUS = ["s0", "s1", "s2", "s3"]


def listed():
    return [item.price for item in Item.objects.filter(active=True)]


@pytest.fixture
def soft(goods, settings, clock):  # noqa: F811
    tiers(settings, stale_for=300)
    return clock


def cached(read, clock):  # noqa: F811
    """What `read` gives; from now on it is expired."""
    read()
    with seen() as found:
        answer = read()
    assert found.outcomes[-1] == "hit"
    clock.ahead = EXPIRED
    return answer


def held(monkeypatch):
    """The gate at which refreshes stand, when they have loaded and have not stored."""
    gate, make = Gate(), revalidating.make_entry

    def waiting(*args):
        gate.wait()
        return make(*args)

    monkeypatch.setattr(revalidating, "make_entry", waiting)
    return gate


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_is_expired_is_served_and_loaded_anew_without_the_reader(soft, read):
    answer = cached(read, soft)
    before = [entry.stored_at for entry in [*entries(), *entries("row")]]
    with seen() as found:
        assert read() == answer
        settled()
    assert "stale" in found.outcomes
    assert "miss" not in found.outcomes
    assert {e.reason for e in found.reads if e.outcome == "stale"} == {"expired"}
    assert {e.result for e in found.refreshes} == {outcome.REFRESHED}
    assert len(entries() + entries("row")) == len(before)
    soft.ahead = 0
    assert read() == answer
    assert outcome_of(read) == "hit"


def test_the_refreshed_entry_says_what_the_database_says_now(soft):
    cached(listed, soft)
    with connection.cursor() as cursor:  # past Django's wrappers: nobody invalidates
        cursor.cursor.execute("UPDATE app_item SET price = 77")
    assert 77 not in listed()
    settled()
    soft.ahead = 0
    assert set(listed()) == {77}
    assert outcome_of(listed) == "hit"


def test_an_entry_stands_as_long_after_its_time_as_the_tier_says_and_no_longer(soft):
    listed()
    assert 1190 < max(ttls()) <= 1200
    soft.ahead = 1201
    assert outcome_of(listed) == "miss"


def test_who_claims_a_load_is_not_answered_by_what_is_expired(soft, monkeypatch):
    monkeypatch.setattr(claim, "SLOW_SECONDS", 0.0)
    listed()
    soft.ahead = 1201
    assert outcome_of(listed) == "miss"


def test_that_there_is_nothing_is_not_served_past_its_time(soft):
    def nothing():
        return list(Item.objects.filter(name="nothing of that name"))

    nothing()
    assert max(ttls()) <= 60
    soft.ahead = 70
    assert outcome_of(nothing) == "miss"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_a_write_has_outdated_is_never_served_as_expired(soft, read):
    cached(read, soft)
    Item.objects.update(price=99, stock=5)
    with seen() as found:
        answer = read()
    assert "stale" not in found.outcomes
    soft.ahead = 0
    assert read() == answer


def test_a_refresh_that_stores_an_old_row_after_a_write_is_never_served(soft, monkeypatch):
    cached(listed, soft)
    gate = held(monkeypatch)
    assert outcome_of(listed) == "stale"
    assert gate.reached.wait(20)  # it has loaded the old price, under stamps that still stand
    Item.objects.update(price=99)
    gate.open.set()
    settled()
    assert set(listed()) == {99}
    soft.ahead = 0
    assert set(listed()) == {99}
    assert outcome_of(listed) == "hit"


def test_the_stamps_of_a_refresh_are_held_before_it_loads(soft, monkeypatch):
    cached(listed, soft)
    gate, ask = Gate(), Statement.__call__

    def slow(self):
        rows = ask(self)
        gate.wait()
        return rows

    monkeypatch.setattr(Statement, "__call__", slow)
    assert outcome_of(listed) == "stale"
    assert gate.reached.wait(20)  # the old price is read
    Item.objects.update(price=99)
    gate.open.set()
    settled()
    soft.ahead = 0
    assert set(listed()) == {99}


def test_a_refresh_does_not_begin_while_a_writer_is_registered(soft):
    cached(listed, soft)
    question = question_of(listed)
    with transaction.atomic():
        Item.objects.filter(sku="s0").update(price=99)  # the stamps are gone, none is minted
        with seen() as found:
            revalidating.refresh(question, pytest.fail, revalidating.Seen(b"", 0.0))
        assert [e.reason for e in found.refreshes] == ["writer registered"]


def question_of(read):
    """The question that `read` asks, of what is expired; no refresh comes of it."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softly, "refresh_soon", lambda question, *args: asked.append(question))
        read()
    return asked[0]


def test_one_process_refreshes(soft, monkeypatch):
    """Another process has claimed it: this one leaves it alone, and serves what there is."""
    cached(listed, soft)
    values_of = current_store().backend.get_many
    question = question_of(listed)
    [payload] = values_of([question.key])
    stamps = values_of(question.stamps)
    name = claim_key(config().PREFIX, f"{question.key}:refresh", stamps)
    assert current_store().claim(name, "another's", 60)
    with seen() as found:
        assert listed()
        settled()
    assert found.outcomes == ["stale"]
    assert found.refreshes == []
    assert values_of([question.key]) == [payload]


def test_what_another_has_refreshed_meanwhile_is_not_loaded_again(soft):
    cached(listed, soft)
    question = question_of(listed)
    with seen() as found:
        revalidating.refresh(question, pytest.fail, revalidating.Seen(b"another entry", 0.0))
    assert found.refreshes == []


def test_many_readers_of_one_process_begin_one_refresh(soft, monkeypatch):
    cached(listed, soft)
    gate = held(monkeypatch)
    with seen() as found:
        assert [outcome_of(listed) for _ in range(20)] == ["stale"] * 20
        gate.open.set()
        settled()
    assert [e.result for e in found.refreshes] == [outcome.REFRESHED]


def test_a_refresh_that_fails_is_counted_and_the_entry_served_on(soft, monkeypatch, caplog):
    answer = cached(listed, soft)

    def broken(*args):
        raise OperationalError("the database is away")

    monkeypatch.setattr(revalidating, "why_not_keep", broken)
    monkeypatch.setattr(revalidating, "log", BurstLog())
    with seen() as found:
        assert listed() == answer
        settled()
        assert listed() == answer  # and nobody asks the broken database again at once
        settled()
    assert found.outcomes == ["stale", "stale"]
    assert [e.result for e in found.refreshes] == [outcome.FAILED]
    assert "could not refresh" in caplog.text
    assert current_store().backend._client().keys("*:claim:*")  # other processes wait too


def test_where_the_pool_is_full_the_next_reader_tries(soft, settings, monkeypatch):
    cached(listed, soft)
    limits = {"REFRESH_QUEUE": 1, "REFRESH_THREADS": 1}
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, **limits}
    pool = Pool()
    monkeypatch.setattr(revalidating, "pool", pool)
    done, began = Event(), Event()

    def busy():
        began.set()
        done.wait(20)
        return 0.0

    pool.submit("one", busy)
    assert began.wait(20)
    pool.submit("two", lambda: 0.0)
    with seen() as found:
        assert outcome_of(listed) == "stale"
        assert [(e.result, e.reason) for e in found.refreshes] == [("skipped", "pool full")]
        done.set()
        assert pool.settle(20)
        assert outcome_of(listed) == "stale"
        assert pool.settle(20)
    pool.close(20)
    assert found.refreshes[-1].result == outcome.REFRESHED


def test_what_decides_a_write_is_not_answered_by_what_is_expired(soft):
    cached(lambda: Item.objects.filter(sku="s0").exists(), soft)
    with seen() as found, pytest.raises(ValidationError):
        Item(sku="s0", name="x", category=Category.objects.first(), price=1).validate_unique()
    assert "stale" not in found.outcomes


def test_a_list_of_several_models_is_no_older_than_each_of_them_allows(soft, settings):
    def joined():
        return list(Item.objects.filter(active=True).select_related("category"))

    joined()
    assert 1190 < max(ttls()) <= 1200  # the categories' own would live for a day
    tiers(settings, ttl=86000, stale_for=86000)
    Item.objects.update(price=99)
    joined()
    assert 86300 < max(ttls()) <= 86400


def test_the_threads_close_their_connections(soft):
    cached(listed, soft)
    listed()
    settled()
    with connection.cursor() as cursor:
        eventually(lambda: others(cursor) == 0)


def others(cursor):
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return cursor.fetchone()[0]


# -- what is invalidated ------------------------------------------------------------------------


@pytest.fixture
def accepting(soft):
    with policy_of(Item, consistency="eventual", serve_invalidated=30.0):
        yield soft


def test_what_is_invalidated_is_served_where_the_policy_says_so(accepting):
    before = listed()
    Item.objects.update(price=99)
    with seen() as found:
        assert listed() == before
        settled()
    assert [(e.outcome, e.reason) for e in found.reads] == [("stale", "invalidated")]
    assert set(listed()) == {99}


def test_it_is_served_no_longer_than_accepted(accepting):
    listed()
    Item.objects.update(price=99)
    accepting.ahead = 40  # loaded longer ago than accepted, and not seen to be right since
    assert set(listed()) == {99}


def test_an_old_entry_that_was_seen_to_be_right_is_served(accepting):
    before = listed()
    accepting.ahead = 600
    assert listed() == before  # this moment its stamps stood
    Item.objects.update(price=99)
    assert outcome_of(listed) == "stale"


def test_an_older_entry_that_is_stored_late_counts_by_its_own_stamps(accepting, monkeypatch):
    """Seen to be right was a newer one, under the same key."""
    listed()
    [key] = current_store().backend._client().keys("*:q:app.item.*")
    client = current_store().backend._client()
    old = client.get(key)
    Item.objects.update(price=99)
    assert set(listed()) != {99}
    settled()
    assert set(listed()) == {99}  # seen
    client.set(key, old)
    accepting.ahead = 40
    assert set(listed()) == {99}


def test_not_to_what_decides_a_write_nor_in_a_transaction(accepting):
    listed()
    Item.objects.update(price=99)
    with transaction.atomic():
        assert set(listed()) == {99}


def test_not_of_a_strict_policy(soft):
    with policy_of(Item, serve_invalidated=30.0):
        listed()
        Item.objects.update(price=99)
        assert set(listed()) == {99}


def test_not_of_a_list_that_another_model_is_in(accepting):
    def joined():
        return [i.price for i in Item.objects.filter(active=True).select_related("category")]

    joined()
    Item.objects.update(price=99)
    assert set(joined()) == {99}
