"""A write that tells what Python can not read is a write all the same.

A database holds what Python can not: ``infinity``, a year before Christ or after 9999. Django
does not read these columns when it writes others; to tell the rows, they are read. What must not
happen: that raises, is taken for the database's refusal, and nobody bumps what was written.
"""

from contextlib import contextmanager

import pytest
from django.db import DataError, connection, transaction

from cachepatterns import uncached
from cachepatterns.write.fence import settle
from tests.app.models import Item
from tests.write_paths.conftest import DATABASES
from tests.write_paths.world import NEW, A, C, restore

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.usefixtures("world"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="others hold no such moments"),
]


def save():
    item = Item.objects.uncached().defer("made").get(pk=A)
    item.category_id = C
    item.save(update_fields=["category"])


def move(item):
    item.category_id = C
    item.save(update_fields=["category"])


OURS = Item.objects
WRITES = {
    "update": lambda: OURS.filter(pk=NEW).update(category=C),
    "update of many": lambda: OURS.filter(price__gte=0).update(category=C),
    "save": lambda: move(OURS.uncached().defer("made").get(pk=NEW)),
    "delete": lambda: OURS.filter(pk=NEW)._raw_delete("default"),
}
MOMENTS = ["infinity", "0044-03-15 BC", "20000-01-01"]


@contextmanager
def autocommit():
    yield


def counts():
    return [OURS.filter(category=category).count() for category in (A, C)]


def fill():
    restore("goods", "default")
    settle()
    counts()
    return counts()


@pytest.mark.parametrize("way", [autocommit, transaction.atomic])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_beside_what_can_not_be_read_is_a_write(write, moment, way):
    restore("goods", "default")
    Item.objects.create(pk=NEW, name="new", sku="new", category_id=A, price=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET made = %s WHERE id = %s", [moment, NEW])
    settle()
    counts()
    before = counts()
    with way():
        WRITES[write]()
    with uncached():
        after = counts()
    assert after != before
    assert counts() == after


@pytest.fixture
def made_for_ever():
    """The database itself gives new rows a moment that Python has no word for."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app_item ALTER made SET DEFAULT 'infinity'")
        cursor.execute(
            "CREATE FUNCTION made_for_ever() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.made = 'infinity'; RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER made_for_ever BEFORE INSERT ON app_item "
            "FOR EACH ROW EXECUTE FUNCTION made_for_ever()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION made_for_ever() CASCADE")
        cursor.execute("ALTER TABLE app_item ALTER made DROP DEFAULT")


@pytest.mark.parametrize("way", [autocommit, transaction.atomic])
def test_django_is_given_what_it_asks_for(made_for_ever, way):
    """Its own columns can be read: the new row's key."""
    before = fill()
    with way():
        item = Item(name="new", sku="new", category_id=C, price=1)
        many = [Item(name="x", sku=f"new {n}", category_id=C, price=1) for n in range(2)]
        item.save()
        OURS.bulk_create(many)
    with uncached():
        found = set(OURS.filter(sku__startswith="new").values_list("pk", "sku"))
    assert found == {(row.pk, row.sku) for row in (item, *many)}
    assert counts() == [before[0], before[1] + 3]


@pytest.mark.parametrize("way", [autocommit, transaction.atomic])
@pytest.mark.parametrize("kind", [ValueError, DataError])
def test_a_rule_s_values_that_a_field_can_not_convert(monkeypatch, way, kind):
    """A field that decrypts what it reads, for instance, and has no key for it."""
    before = fill()

    def refuses(value, expression, connection):
        raise kind("can not be decrypted")

    field = Item._meta.get_field("name")
    monkeypatch.setattr(field, "from_db_value", refuses, raising=False)
    field.__dict__.pop("_cached", None)
    with way():
        assert OURS.filter(pk=A).update(category=C) == 1
    monkeypatch.undo()
    assert counts() == [before[0] - 1, before[1] + 1]
