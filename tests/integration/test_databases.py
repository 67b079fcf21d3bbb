"""Which database is meant: tags by its name, entries by all that may change their answers."""

import copy

import pytest
from django.db import connection, connections

from cachepatterns.transactions import database_id, source_id
from tests.app.models import Category, Item
from tests.events import outcome_of


@pytest.fixture
def other_address(goods):
    """A connection to the same database by another spelling of its host."""
    settings = {**copy.deepcopy(connection.settings_dict), "HOST": "localhost"}
    other = type(connections["default"])(settings, "other_address")
    yield other
    other.close()


def test_a_write_by_another_address_of_the_database_invalidates(goods, other_address):
    a, _, items = goods
    pk = items[0].pk

    def listed():
        return [i.price for i in Item.objects.filter(category=a)]

    Item.objects.get(pk=pk), listed()
    assert outcome_of(listed) == "hit"
    with other_address.cursor() as cursor:
        cursor.execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])
    assert Item.objects.get(pk=pk).price == 9
    assert listed() == [9, 2]


def test_tags_are_shared_and_entries_are_not(other_address):
    one = connections["default"]
    assert database_id(one) == database_id(other_address)
    assert source_id(one) != source_id(other_address)


CHANGES = {
    "role": {"USER": "tenant"},
    "time zone": {"TIME_ZONE": "Asia/Tokyo"},
    "schema": {"OPTIONS": {"options": "-c search_path=x"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_entries_are_apart_where_the_answers_may_be(what):
    one = connections["default"]
    other = type(one)({**one.settings_dict, **CHANGES[what]}, "other")
    assert source_id(one) != source_id(other)
    assert database_id(one) == database_id(other)


def test_a_ttl_of_ones_own_is_an_entry_of_ones_own(goods):
    """Who asks for thirty seconds must not be handed what was stored for fifteen minutes."""
    query = Category.objects.filter(slug="a")
    list(query.all())
    assert outcome_of(lambda: list(query.cached(ttl=30))) == "miss"
    assert outcome_of(lambda: list(query.cached(ttl=30))) == "hit"
    assert outcome_of(lambda: list(query.all())) == "hit"
