"""Who finds the guard closed and an entry behind it waits a moment for the writer."""

import time

import pytest

from cachepatterns.read import patience
from tests.app.models import Item
from tests.events import outcome_of, seen
from tests.integration.test_strict import Held, save

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.without_outbox,  # with it no statement closes a guard
]


def listed(category):
    return [item.price for item in Item.objects.filter(category=category).order_by("pk")]


@pytest.fixture
def pauses(monkeypatch):
    """What is slept through; what is put into `during` happens meanwhile."""
    monkeypatch.setattr(patience, "_until", {})

    class Pauses(list):
        during = staticmethod(lambda: None)

        def sleep(self, seconds):
            self.append(seconds)
            self.during()

        monotonic = staticmethod(time.monotonic)

    found = Pauses()
    monkeypatch.setattr(patience, "time", found)
    return found


@pytest.fixture
def held(goods, monkeypatch, pauses):
    """A writer of an item of category a, after its commit and before its bump."""
    for _ in range(2):
        listed(goods[0]), listed(goods[1])
    held = Held(monkeypatch, lambda: save(goods[2][0]))
    yield held
    held.finish()


def test_a_list_is_a_hit_again_once_the_writer_has_told_that_it_is_another(goods, held, pauses):
    pauses.during = held.finish
    with seen() as found:
        assert listed(goods[1]) == [1, 3]
    assert found.outcomes == ["hit"]
    assert len(pauses) == 1


def test_what_the_writer_has_touched_is_loaded_anew(goods, held, pauses):
    pauses.during = held.finish
    with seen() as found:
        assert listed(goods[0]) == [9, 2]
    assert found.outcomes == ["miss"]
    assert found.reasons == [""]
    assert outcome_of(lambda: listed(goods[0])) == "hit"


def test_who_has_waited_in_vain_asks_the_database_and_nobody_waits_for_a_while(
    goods, held, pauses, monkeypatch
):
    monkeypatch.setattr(patience, "WITHOUT", 3600.0)
    for _ in range(2):
        with seen() as found:
            assert listed(goods[1]) == [1, 3]
        assert found.reasons == ["writer registered"]
        waited = len(pauses)
    assert waited > 0
    pauses.clear()
    assert listed(goods[1]) == [1, 3]
    assert pauses == []


def test_the_patience_is_what_the_load_took(goods, held, pauses, monkeypatch):
    monkeypatch.setattr(patience, "LONGEST", 0.0)
    listed(goods[1])
    assert len(pauses) == 1


def test_nobody_waits_where_there_is_no_entry(goods, held, pauses):
    assert Item.objects.filter(category=goods[1], price=3).count() == 1
    assert pauses == []
