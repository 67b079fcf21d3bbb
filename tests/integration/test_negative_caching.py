"""That there is nothing: kept for a while, gone when there is something, and no way to fill Redis.

The interleaving that must not happen: a reader finds nothing, another creates the row and commits,
the reader stores that there is nothing.
"""

import pytest

from cachepatterns.backends.store import current_store
from cachepatterns.read import floods as flooding
from cachepatterns.read import found as found_rows
from cachepatterns.read import loading, lookup, rows
from cachepatterns.read.floods import Floods
from tests.app.models import Category, Item
from tests.events import outcome_of, seen
from tests.integration.threads import Gate, running


def get(sku):
    return Item.objects.filter(sku=sku).first()


def by_row(sku):
    try:
        return Item.objects.get(sku=sku)
    except Item.DoesNotExist:
        return None


def by_rows(sku):
    return Item.objects.in_bulk([sku], field_name="sku").get(sku)


READS = [get, by_row, by_rows]


def create(sku):
    Item.objects.create(sku=sku, name="new", category=Category.objects.first(), price=1)


def keys():
    client = current_store().backend._client()
    return {key for key in client.keys("*app.item*") if b":stats:" not in key}


@pytest.mark.parametrize("read", READS)
def test_creating_the_row_outdates_that_there_is_none(goods, read):
    assert read("new") is None
    assert outcome_of(lambda: read("new")) == "negative"
    create("new")
    assert read("new").name == "new"


@pytest.mark.parametrize(("read", "module"), [(by_row, loading), (by_rows, rows)])
def test_what_a_reader_stores_after_the_row_was_created_is_not_believed(
    goods, monkeypatch, read, module
):
    gate, make = Gate(), module.make_entry

    def waiting(*args):
        gate.wait()
        return make(*args)

    monkeypatch.setattr(module, "make_entry", waiting)
    with running(lambda: read("new")) as answer:
        assert gate.reached.wait(20)  # it has found nothing, and has not stored that
        monkeypatch.undo()
        create("new")
        gate.open.set()
        assert answer() is None
    assert read("new").name == "new"


def test_the_stamp_of_a_row_that_is_not_there_goes_with_the_entry(goods):
    by_row("s1")
    before = keys()
    by_row("none"), by_rows("no_other")
    client = current_store().backend._client()
    lives = {key: client.pttl(key) / 1000 for key in keys() - before}
    assert len(lives) == 4
    assert max(lives.values()) <= 120
    by_row("s0")
    [stamp] = client.keys("*:tag:app.item@*:sku=s0")
    assert client.pttl(stamp) / 1000 > 900


# -- floods ----------------------------------------------------------------------------


@pytest.fixture
def bounded(goods, settings, monkeypatch):
    """Ten answers that hold nothing may be stored, and the minute does not pass."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "NEGATIVE_PER_MINUTE": 10}
    found = Floods(clock=lambda: 0.0)
    for module in (lookup, loading, rows, found_rows):
        monkeypatch.setattr(module, "floods", found)
    return found


@pytest.mark.parametrize("read", READS)
def test_made_up_keys_leave_nothing_once_there_were_too_many(bounded, read):
    for n in range(10):
        read(f"made up {n}")
    before = keys()
    assert len(before) >= 20
    with seen() as found:
        for n in range(200):
            assert read(f"more {n}") is None
    assert keys() == before
    assert {e.reason for e in found.reads} == {"flood"}


@pytest.mark.parametrize("read", READS)
def test_what_is_there_is_cached_in_a_flood_too(bounded, read):
    for n in range(12):
        read(f"made up {n}")
    assert read("s1").sku == "s1"
    assert outcome_of(lambda: read("s1")) == "hit"


def test_of_many_rows_those_that_are_there_are_stored(bounded):
    def both():
        return [*Item.objects.in_bulk(["s0", "of none"], field_name="sku")]

    for n in range(12):
        by_row(f"made up {n}")
    assert both() == ["s0"]
    with seen() as found:
        assert both() == ["s0"]
    assert [(e.outcome, e.reason) for e in found.reads] == [("miss", "flood"), ("hit", "")]


def test_a_row_created_in_a_flood_is_found(bounded):
    for n in range(12):
        by_row(f"made up {n}")
    assert by_row("new") is None
    create("new")
    assert by_row("new").sku == "new"


def test_a_flood_is_over_when_its_minute_is():
    now = [0.0]
    floods = Floods(clock=lambda: now[0])
    most = flooding.config().NEGATIVE_PER_MINUTE
    assert not floods.is_on("a")
    assert all(floods.admits("a") for _ in range(most))
    assert floods.is_on("a")
    assert not floods.admits("a")
    assert not floods.is_on("b")
    now[0] = 60 / most
    assert not floods.is_on("a")
    assert floods.admits("a")
    assert not floods.admits("a")
    now[0] = 3600
    assert sum(floods.admits("a") for _ in range(2 * most)) == most


def test_zero_is_no_bound(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "NEGATIVE_PER_MINUTE": 0}
    floods = Floods()
    assert all(floods.admits("a") for _ in range(2000))
    assert not floods.is_on("a")
