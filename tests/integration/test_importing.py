"""Imports that invalidate once: readers keep away while they run, and see all of it afterwards."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, IntegrityError, connection, transaction

from cachepatterns import cached, no_invalidation, tag
from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import WriteRefused
from cachepatterns.write import fence as fences
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of, seen
from tests.integration.test_strict import writers
from tests.integration.test_transactions import in_thread
from tests.policies import policy_of

ROOT = Path(__file__).parents[2]


def price(pk):
    return Item.objects.get(pk=pk).price


def warm(goods):
    pk = goods[2][0].pk
    price(pk), price(pk)
    assert outcome_of(lambda: price(pk)) == "hit"
    return pk


def elsewhere(pk):
    return in_thread(lambda: price(pk))


WRITES = {
    "update": lambda pk: Item.objects.filter(pk=pk).update(price=9),
    "save": lambda pk: Item(pk=pk, price=9).save(update_fields=["price"]),
    "bulk": lambda pk: Item.objects.bulk_update([Item(pk=pk, price=9)], ["price"]),
    "raw SQL": lambda pk: raw(f"UPDATE app_item SET price = 9 WHERE id = {pk}"),
}


def raw(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("how", WRITES)
def test_a_reader_between_two_writes_is_served_nothing_stale_then_or_later(goods, how):
    """The interleaving: what he reads between the writes he must neither store nor be given."""
    pk = warm(goods)
    with no_invalidation():
        Item.objects.filter(pk=pk).update(price=8)
        assert elsewhere(pk) == 8
        WRITES[how](pk)
        assert elsewhere(pk) == 9
        assert price(pk) == 9
    assert price(pk) == 9
    assert in_thread(lambda: outcome_of(lambda: price(pk))) == "hit"
    assert writers() == {}


def test_a_load_begun_before_the_block_and_stored_in_it_is_not_served_after_it(goods, monkeypatch):
    pk, backend = goods[2][0].pk, current_store().backend
    loaded, go_on, store = threading.Event(), threading.Event(), backend.store

    def late(*args):
        if threading.current_thread() is reader:  # and not the one that counts
            loaded.set()
            assert go_on.wait(20)
        return store(*args)

    monkeypatch.setattr(backend, "store", late)
    found = []
    reader = threading.Thread(target=lambda: (found.append(price(pk)), connection.close()))
    reader.start()
    assert loaded.wait(20)
    monkeypatch.undo()
    with no_invalidation():
        Item.objects.filter(pk=pk).update(price=9)
        go_on.set()
        reader.join()
    assert found == [0]
    assert price(pk) == 9


@pytest.mark.without_outbox
def test_there_is_one_bump_and_the_statements_are_djangos_own(goods, django_assert_num_queries):
    pk = warm(goods)
    backend, asked = current_store().backend, []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fence", "release", "delete"):
            method = getattr(backend, name)
            patch.setattr(
                backend,
                name,
                lambda *a, _n=name, _m=method, **k: (
                    None if k.get("renew") else asked.append(_n),
                    _m(*a, **k),
                )[1],
            )
        with seen() as found:
            with django_assert_num_queries(22) as queries, no_invalidation():
                for number in range(10):
                    Item.objects.filter(pk=pk).update(price=number)
                with transaction.atomic():
                    for number in range(10):
                        Item.objects.filter(pk=pk).update(price=number)
            (event,) = found.invalidations
        assert asked == ["fence", "release"]
    assert not any("RETURNING" in query["sql"] for query in queries.captured_queries)
    assert (event.source, event.coarse, event.labels) == ("import", False, ("app.item",))
    assert price(pk) == 9


def test_what_it_does_not_write_is_served_from_the_cache_meanwhile(goods):
    slug = goods[0].slug

    def category():
        return outcome_of(lambda: Category.objects.get(slug=slug))

    warm(goods), category()
    with no_invalidation():
        Item.objects.update(price=9)
        assert in_thread(category) == "hit"
        assert category() == "bypass"  # what it reads itself may be what it has written
    assert category() == "hit"


def test_rules_count_too(goods):
    def catalog():
        return outcome_of(lambda: list(cached(Category.objects.all(), tags=[tag("catalog", 1)])))

    assert (catalog(), catalog()) == ("miss", "hit")
    with no_invalidation():
        Item.objects.filter(pk=goods[2][0].pk).update(category=goods[1])
    assert catalog() == "miss"


def test_in_a_transaction_that_outlasts_the_block_it_counts_from_the_commit_on(goods):
    pk = warm(goods)
    with transaction.atomic():
        with no_invalidation():
            Item.objects.filter(pk=pk).update(price=9)
        assert price(pk) == 9
        assert elsewhere(pk) == 0
        assert in_thread(lambda: outcome_of(lambda: price(pk))) == "miss"  # and is not stored
        assert writers()  # the transaction's own
    assert elsewhere(pk) == 9
    assert writers() == {}


@pytest.mark.parametrize("error", [ValueError, IntegrityError])
def test_an_import_that_raises_has_written_what_it_has_written(goods, error):
    pk = warm(goods)

    def fail_half_way():
        with no_invalidation():
            Item.objects.filter(pk=pk).update(price=9)
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert price(pk) == 9
    assert writers() == {}


def test_a_block_in_a_block_is_part_of_it(goods):
    pk = warm(goods)
    with no_invalidation():
        with no_invalidation():
            Item.objects.filter(pk=pk).update(price=8)
        assert writers()
        Item.objects.filter(pk=pk).update(price=9)
    assert price(pk) == 9


def test_an_import_that_wrote_nothing_bumps_nothing(goods):
    pk = warm(goods)
    with seen() as found, no_invalidation():
        assert price(pk) == 0
    assert found.invalidations == []
    assert outcome_of(lambda: price(pk)) == "hit"


def test_eventual_models_are_kept_away_too(goods):
    """A block may take minutes: until its end is not 'a moment later'."""
    with policy_of(Item, consistency="eventual"):
        pk = warm(goods)
        with no_invalidation():
            Item.objects.filter(pk=pk).update(price=9)
            assert elsewhere(pk) == 9
        assert price(pk) == 9


@pytest.fixture
def quick(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 0.5}


def test_a_connection_lost_in_the_block_leaves_the_registration_to_expire(goods, quick):
    """The interleaving: its COMMIT may yet be carried out, when the guard is open already."""
    pk = warm(goods)

    def write_and_lose_it():
        with transaction.atomic():
            Item.objects.filter(pk=pk).update(price=8)
            connection.connection.close()

    with no_invalidation():
        with pytest.raises(DatabaseError):
            write_and_lose_it()
        connection.close()
        Item.objects.filter(pk=pk).update(price=9)
    assert writers()
    assert price(pk) == 9
    eventually(lambda: price(pk) == 9 and outcome_of(lambda: price(pk)) == "hit")


def test_a_process_that_stood_still_registers_again_before_it_writes_on(goods, quick, monkeypatch):
    """The interleaving: its registration has expired, a reader has stored, it writes on."""
    pk = warm(goods)
    monkeypatch.setattr(fences, "_held", list)  # the thread that renews stands still as well
    with no_invalidation():
        Item.objects.filter(pk=pk).update(price=8)
        eventually(lambda: in_thread(lambda: outcome_of(lambda: price(pk))) == "hit")
        Item.objects.filter(pk=pk).update(price=9)
        assert elsewhere(pk) == 9
    assert price(pk) == 9


KILLED = """
import django
django.setup()
from cachepatterns import no_invalidation
from tests.app.models import Item
with no_invalidation():
    Item.objects.filter(pk={pk}).update(price=9)
    print("written", flush=True)
    input()
"""


def test_of_a_process_that_is_killed_the_registration_expires_with_a_bump(goods, settings):
    """It lives for long enough that a busy machine renews it in time."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 2}
    pk, database = warm(goods), connection.settings_dict
    setup = (
        "from django.conf import settings\nfrom tests import settings as given\n"
        f"given.DATABASES['default'].update(NAME={database['NAME']!r})\n"
        f"given.CACHES['default']['LOCATION'] = {settings.CACHES['default']['LOCATION']!r}\n"
        f"given.CACHEPATTERNS = {settings.CACHEPATTERNS!r}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", setup + KILLED.format(pk=pk)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "written\n"
        assert price(pk) == 9
        assert writers()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert price(pk) == 9
    eventually(lambda: outcome_of(lambda: price(pk)) == "hit")
    assert price(pk) == 9


def test_where_redis_can_not_be_told_nothing_is_written(goods, settings):
    pk = goods[2][0].pk
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ON_REDIS_ERROR": "refuse"}
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    with pytest.raises(WriteRefused), no_invalidation():
        Item.objects.filter(pk=pk).update(price=9)
    assert price(pk) == 0


def test_from_a_coroutine(goods):
    pk = warm(goods)

    async def story():
        with no_invalidation():
            await sync_to_async(WRITES["update"])(pk)
            await Item.objects.filter(pk=pk).aupdate(price=10)
            assert (await Item.objects.aget(pk=pk)).price == 10

    async_to_sync(story)()
    assert price(pk) == 10
    assert writers() == {}
