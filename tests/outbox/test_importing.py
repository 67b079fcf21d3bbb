"""Imports with the outbox on: each transaction of theirs records what a crash would lose."""

from django.db import connection, transaction

from cachepatterns import no_invalidation
from tests.app.models import Item
from tests.events import eventually, seen
from tests.outbox.conftest import events, relaying, tags, waiting
from tests.outbox.test_recording import is_marked


def test_each_transaction_records_the_model_once_and_the_end_vouches_for_all(goods, relay):
    pk = goods[1][0].pk
    relay.round()
    with no_invalidation():
        Item.objects.filter(pk=pk).update(price=7)
        with transaction.atomic():
            for price in (8, 9):
                Item.objects.filter(pk=pk).update(price=price)
        before_the_end = events()
        assert len(before_the_end) == 2
        assert not any(map(is_marked, before_the_end))
    assert "app.item" in tags()
    assert all(map(is_marked, events()))
    assert Item.objects.get(pk=pk).price == 9
    with seen() as found:
        relay.round()
    assert found.invalidations == []  # it is bumped
    assert waiting() == 0


def test_what_rolls_back_records_nothing(goods):
    with no_invalidation(), transaction.atomic():
        Item.objects.filter(pk=goods[1][0].pk).update(price=9)
        transaction.set_rollback(True)
    assert [event.source for event in events()] == ["import"]  # the end's


def test_nobody_vouches_for_a_transaction_that_outlasts_the_block(goods):
    """The interleaving: the guard opens, the process dies after the COMMIT and before its bump;
    a relay that trusts the block's mark would bump nothing."""
    block = []
    with transaction.atomic():
        with no_invalidation():
            Item.objects.filter(pk=goods[1][0].pk).update(price=9)
            block = events()
        unvouched = [is_marked(event) for event in events()]
    assert len(block) == 1
    assert unvouched
    assert not any(unvouched)
    with relaying():
        eventually(lambda: waiting() == 0)
    assert connection.run_on_commit == []


def test_a_savepoint_taken_back_forgets_nothing(goods):
    with no_invalidation(), transaction.atomic():
        with transaction.atomic():
            Item.objects.filter(pk=goods[1][0].pk).update(price=8)
            transaction.set_rollback(True)
        Item.objects.filter(pk=goods[1][0].pk).update(price=9)
        assert len(events()) == 1
