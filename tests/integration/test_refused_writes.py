"""`ON_REDIS_ERROR = "refuse"`: what could not be registered is not committed.

What must not happen: somebody catches `WriteRefused`, tries once more or goes on, and commits a
write of which no other process hears.
"""

import pytest
from django.db import connection, transaction

from cachepatterns.backends.errors import RedisError
from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import WriteRefused
from tests.app.models import Item, Note
from tests.integration.test_strict import price

pytestmark = pytest.mark.django_db(transaction=True)


def by_raw_sql(item):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET price = 99 WHERE id = %s", [item.pk])


WRITES = {
    "save": lambda item: item.save(),
    "update": lambda item: Item.objects.filter(pk=item.pk).update(price=99),
    "update of many": lambda item: Item.objects.filter(name=item.name).update(price=99),
    "raw SQL": by_raw_sql,
    "raw delete": lambda item: Item.objects.filter(pk=item.pk)._raw_delete("default"),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
def item(goods):
    found = goods[2][0]
    Note.objects.filter(item=found).delete()
    price(found.pk)
    found.price = 99
    return found


@pytest.fixture(params=[True, False], ids=["shortcuts", "long ways"])
def cut_off(item, settings, monkeypatch, request):
    """This writer does not reach Redis; others do."""
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "ON_REDIS_ERROR": "refuse",
        "OUTBOX": False,
        "SHORTCUTS": request.param,
    }

    def gone(*args, **kwargs):
        raise RedisError(ConnectionResetError("reset"))

    for name in ("fence", "fence_ahead", "release", "delete"):
        monkeypatch.setattr(current_store().backend, name, gone)
    yield
    monkeypatch.undo()
    current_store()._open_until = 0.0
    current_store().deliver()


def committed(item):
    return list(Item.objects.uncached().filter(pk=item.pk).values_list("price", flat=True))


@every_write
def test_who_tries_again_is_refused_again(item, cut_off, write):
    refused = 0
    with transaction.atomic():
        for _ in range(3):
            try:
                with transaction.atomic():
                    write(item)
            except WriteRefused:
                refused += 1
    assert (refused, committed(item)) == (3, [0])


@every_write
def test_who_goes_on_commits_nothing(item, cut_off, write):
    with transaction.atomic():
        with pytest.raises(WriteRefused):
            write(item)
        with pytest.raises(transaction.TransactionManagementError):
            Note.objects.create(item=item, text="he goes on")
    with transaction.atomic(), pytest.raises(WriteRefused):
        write(item)  # and he says nothing
    assert committed(item) == [0]


@every_write
def test_who_commits_by_hand_commits_nothing(item, cut_off, write):
    """As after an error of the database, PostgreSQL rolls back."""
    transaction.set_autocommit(False)
    try:
        with pytest.raises(WriteRefused):
            write(item)
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert committed(item) == [0]


def test_it_goes_on_when_redis_is_back(item, settings, monkeypatch):
    """In the same transaction, whose registration has failed once."""
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "ON_REDIS_ERROR": "refuse",
        "BREAKER_SECONDS": 0,
    }
    backend = current_store().backend
    with transaction.atomic():
        with monkeypatch.context() as patch:

            def gone(*args, **kwargs):
                raise RedisError(ConnectionResetError("reset"))

            for name in ("fence", "fence_ahead"):
                patch.setattr(backend, name, gone)
            with pytest.raises(WriteRefused), transaction.atomic():
                item.save()
        with transaction.atomic():
            item.save()
    assert committed(item) == [99]
    assert price(item.pk) == 99
