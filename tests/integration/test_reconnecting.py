"""Connections end with requests, and are made anew."""

from django.db import connection

from tests.app.models import Item
from tests.events import outcome_of


def test_a_connection_that_is_made_anew_reads_through_the_cache(goods):
    """MySQL's is told its isolation level each time, by a statement that is seen from the second
    time on: it changes nothing."""
    pk = goods[2][0].pk
    Item.objects.get(pk=pk)
    for _ in range(2):
        connection.close()
        assert outcome_of(lambda: Item.objects.get(pk=pk)) == "hit"
