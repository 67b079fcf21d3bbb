"""From another client's write, by trigger, outbox and relay, to what a reader sees."""

import django
import pytest
from django.db import connection

from tests.app.models import Category, Item
from tests.app.relations import Land, Plot, Shed, Well
from tests.events import eventually, outcome_of
from tests.outbox.conftest import relaying, waiting


@pytest.fixture
def relayed(installed, transactional_db, empty_cache, settings):
    """The outbox is on, triggers stand, a relay runs, and what is read is cached."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": True, "TRIGGERS": True}
    with relaying():
        yield


def price(pk):
    return Item.objects.get(pk=pk).price


def names(category):
    return sorted(item.name for item in Item.objects.filter(category=category))


def is_hit(read):
    return outcome_of(read) == "hit"


@pytest.fixture
def goods(relayed):
    a = Category.objects.create(name="a", slug="a")
    b = Category.objects.create(name="b", slug="b")
    items = [
        Item.objects.create(name=f"item {i}", sku=f"s{i}", category=a, price=i) for i in range(2)
    ]
    eventually(lambda: waiting() == 0)
    for read in (lambda: price(items[0].pk), lambda: price(items[1].pk), lambda: names(a)):
        eventually(lambda read=read: is_hit(read))
    return a, b, items


def test_an_update_from_elsewhere_is_seen_and_leaves_other_rows_alone(goods, client):
    _, _, (one, two) = goods
    client.execute("UPDATE app_item SET price = 9 WHERE id = %s", [one.pk])
    eventually(lambda: price(one.pk) == 9)
    assert is_hit(lambda: price(two.pk))


def test_a_row_that_moves_leaves_one_list_and_enters_another(goods, client):
    a, b, (one, _) = goods
    assert names(b) == []
    client.execute("UPDATE app_item SET category_id = %s WHERE id = %s", [b.pk, one.pk])
    eventually(lambda: names(a) == ["item 1"] and names(b) == ["item 0"])


def test_what_is_copied_in_and_truncated_away(goods, client):
    a = goods[0]
    copy_in = "COPY app_item (name, sku, category_id, price, stock, active) FROM STDIN"
    with client.cursor().copy(copy_in) as copy:
        copy.write_row(("copied", "c", a.pk, 1, 0, True))
    eventually(lambda: names(a) == ["copied", "item 0", "item 1"])
    client.execute("TRUNCATE app_item CASCADE")
    eventually(lambda: names(a) == [])


def test_a_function_that_writes(goods, client):
    one = goods[2][0]
    client.execute(
        "CREATE FUNCTION reprice() RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE app_item SET price = 7; END $$"
    )
    try:
        connection.connection.execute("SELECT reprice()")  # past the execute wrapper
        eventually(lambda: price(one.pk) == 7)
        client.execute("DO $$ BEGIN UPDATE app_item SET price = 8; END $$")
        eventually(lambda: price(one.pk) == 8)
    finally:
        client.execute("DROP FUNCTION reprice")


@pytest.mark.skipif(django.VERSION < (6, 1), reason="DB_CASCADE came with Django 6.1")
def test_cascades_of_the_database(goods, client):
    land = Land.objects.create(name="l")
    plot = Plot.objects.create(owner=land)
    shed, well = Shed.objects.create(owner=plot), Well.objects.create(owner=land)

    def sheds():
        return list(Shed.objects.filter(owner=plot))

    def owner():
        return Well.objects.get(pk=well.pk).owner_id

    assert (sheds(), owner()) == ([shed], land.pk)
    eventually(lambda: is_hit(sheds) and is_hit(owner))
    client.execute("DELETE FROM app_land WHERE id = %s", [land.pk])
    eventually(lambda: (sheds(), owner()) == ([], None))


def test_what_django_writes_is_bumped_once(goods):
    """Marked, so that the relay has nothing to bump after the writer has."""
    one = goods[2][0]
    one.price = 5
    one.save()
    assert price(one.pk) == 5
    assert is_hit(lambda: price(one.pk))
    eventually(lambda: waiting() == 0)
    assert is_hit(lambda: price(one.pk))
