"""The execute wrapper that watches writes stays, and watches, whatever happens around it."""

import pytest
from django.db import connection, models

from cachepatterns import sqlwatch
from tests.app.models import Category, Item
from tests.events import seen

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_block_that_opens_the_connection_leaves_writes_watched():
    def passed(execute, sql, params, many, context):
        return execute(sql, params, many, context)

    category = Category.objects.create(name="Chairs", slug="chairs")
    was = connection.execute_wrappers
    connection.close()
    connection.execute_wrappers = []  # a connection that was never opened has none
    try:
        with connection.execute_wrapper(passed):
            connection.ensure_connection()
        with seen() as found:
            models.QuerySet(Category).filter(pk=category.pk).update(name="Stools")
    finally:
        connection.execute_wrappers = was
    assert [event.labels for event in found.invalidations] == [("app.category",)]


def test_a_write_that_can_not_be_accounted_for_invalidates_everything(goods, monkeypatch):
    pk = goods[2][0].pk
    coarse_event = sqlwatch.coarse_event

    def fails(connection, found):
        if found is not None:
            raise LookupError("of whoever's rules")
        return coarse_event(connection, found)

    monkeypatch.setattr(sqlwatch, "coarse_event", fails)
    assert Item.objects.get(pk=pk).price == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item AS i SET price = 9 WHERE i.id = %s", [pk])
    assert Item.objects.get(pk=pk).price == 9
