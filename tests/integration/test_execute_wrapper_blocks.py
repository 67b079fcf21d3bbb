"""A block of the user's own execute wrapper must not take ours away."""

import pytest
from django.db import connection, models

from tests.app.models import Category
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
