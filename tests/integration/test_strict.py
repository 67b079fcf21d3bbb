"""Strict: no read that starts after a COMMIT sees an older value, whatever crashes.

The dangerous moment lies between the COMMIT and the bump; every test here stops the writer,
or the world, in it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import DateTimeField, Value
from django.db.models.functions import Cast

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import guard_key
from cachepatterns.exceptions import BackendError, WriteRefused
from cachepatterns.transactions import database_id
from cachepatterns.write.fence import settle
from shop.servers import EmbeddedValkey
from tests.app.models import Category, Item, Note
from tests.calm import nobody_writes
from tests.events import eventually, outcome_of, seen

ROOT = Path(__file__).parents[2]


def price(pk):
    return Item.objects.get(pk=pk).price


def listed(category):
    return [i.price for i in Item.objects.filter(category=category).order_by("pk")]


def guard():
    """The guard of the items, as Redis holds it when all that was sent to it is done: a release
    goes over another line than this question, which might come before it."""
    current_store().settle()
    key = guard_key(config().PREFIX, f"app.item@{database_id(connection)}")
    return key, current_store().backend._client().get(key)


def writers():
    raw = guard()[1]
    return {} if raw is None or raw[:1] == b"o" else json.loads(raw)["f"]


@pytest.fixture
def quick(settings):
    """Registrations that expire soon, for tests that wait for it."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 0.5}


class Held:
    """A writer in a thread of its own, held after its COMMIT and before its bump."""

    def __init__(self, monkeypatch, write):
        self.committed, self.go_on = threading.Event(), threading.Event()
        backend = current_store().backend
        original = backend.release

        def release(*args, **kwargs):
            if threading.current_thread() is self.thread:
                self.committed.set()
                assert self.go_on.wait(20)
            return original(*args, **kwargs)

        monkeypatch.setattr(backend, "release", release)
        self.thread = threading.Thread(target=self._run, args=(write,))
        self.thread.start()
        assert self.committed.wait(20)

    def _run(self, write):
        try:
            write()
        finally:
            connection.close()

    def finish(self):
        self.go_on.set()
        self.thread.join(20)


def save(item):
    item.price = 9
    item.save()


def save_atomic(item):
    with transaction.atomic():
        save(item)


def raw_sql(item):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET price = 9 WHERE id = %s", [item.pk])


WRITES = {
    "save": save,
    "save in atomic": save_atomic,
    "update": lambda item: Item.objects.filter(pk=item.pk).update(price=9),
    "update of all": lambda item: Item.objects.update(price=9),
    "bulk_update": lambda item: (
        setattr(item, "price", 9),
        Item.objects.bulk_update([item], ["price"]),
    ),
    "raw SQL": raw_sql,
}


@pytest.mark.parametrize("how", WRITES)
def test_after_the_commit_and_before_the_bump_nobody_sees_the_old_value(goods, monkeypatch, how):
    a, _, items = goods
    pk = items[0].pk
    for _ in range(2):
        price(pk), listed(a)
    assert outcome_of(lambda: price(pk)) == "hit"
    held = Held(monkeypatch, lambda: WRITES[how](items[0]))
    try:
        assert price(pk) == 9
        assert listed(a)[0] == 9
        assert price(pk) == 9  # and what was just read was not stored, or is right
    finally:
        held.finish()
    assert price(pk) == 9
    assert listed(a)[0] == 9
    assert outcome_of(lambda: price(pk)) == "hit"


def test_an_insert_and_a_delete_are_seen_at_their_commit(goods, monkeypatch):
    a = goods[0]
    listed(a)
    held = Held(monkeypatch, lambda: Item.objects.create(name="n", sku="n", category=a, price=7))
    assert listed(a) == [0, 2, 7]
    held.finish()
    assert listed(a) == [0, 2, 7]
    held = Held(monkeypatch, lambda: Item.objects.filter(sku="n").delete())
    assert listed(a) == [0, 2]
    held.finish()
    assert listed(a) == [0, 2]


def test_other_rows_stay_hits_while_a_transaction_is_open(goods):
    _, b, items = goods
    price(items[1].pk), listed(b)
    with transaction.atomic():
        save(items[0])
        from tests.integration.test_transactions import in_thread

        assert in_thread(lambda: outcome_of(lambda: price(items[1].pk))) == "hit"
        assert in_thread(lambda: outcome_of(lambda: listed(b))) == "hit"
        assert in_thread(lambda: outcome_of(lambda: price(items[0].pk))) == "miss"


ONE_BY_KEY = {
    "save": save,
    "update": WRITES["update"],
    "update by a list": lambda item: Item.objects.filter(pk__in=[item.pk]).update(price=9),
}


@pytest.mark.without_outbox
@pytest.mark.parametrize("how", ONE_BY_KEY)
def test_other_rows_stay_hits_while_a_statement_in_autocommit_runs(goods, monkeypatch, how):
    _, b, items = goods
    mine, other, new = items[0].pk, items[1].pk, items[2].pk
    price(mine), price(other), listed(b), Item.objects.in_bulk([mine, other])
    held = Held(monkeypatch, lambda: ONE_BY_KEY[how](items[0]))
    try:
        with seen() as found:
            price(other), Item.objects.filter(pk=new).count(), Item.objects.in_bulk([other])
            Item.objects.filter(pk=mine).first(), listed(b), Item.objects.in_bulk([mine, other])
        assert outcome_of(lambda: Item.objects.filter(pk=new).count()) == "hit"
        assert found.outcomes == ["hit", "miss", "hit", "miss", "miss", "miss"]
        assert found.reasons == ["", "", "", *["writer registered"] * 3]
    finally:
        held.finish()
    assert outcome_of(lambda: price(other)) == "hit"
    assert outcome_of(lambda: listed(b)) == "hit"


@pytest.mark.without_outbox
def test_other_rows_stay_hits_while_one_is_deleted_in_autocommit(goods, monkeypatch):
    one, other = (Note.objects.create(item=goods[2][0], text=text) for text in "ab")
    read = [lambda: Note.objects.get(pk=other.pk), lambda: Note.objects.filter(pk=one.pk).first()]
    for ask in read * 2:
        ask()
    held = Held(monkeypatch, lambda: Note.objects.get(pk=one.pk).delete())
    try:
        assert [outcome_of(ask) for ask in read] == ["hit", "miss"]
        assert read[1]() is None
    finally:
        held.finish()


@pytest.mark.without_outbox
def test_a_statement_that_changes_a_primary_key_closes_the_whole_model(goods, monkeypatch):
    _, _, items = goods
    new = items[1].pk + 10_000_000
    assert Item.objects.filter(pk=new).first() is None
    held = Held(monkeypatch, lambda: Item.objects.filter(pk=items[1].pk).update(id=new))
    try:
        assert Item.objects.filter(pk=new).first() is not None
    finally:
        held.finish()


DIES = """
import os, signal, sys
import django
django.setup()
from django.db import transaction
from cachepatterns.backends.store import current_store
from tests.app.models import Item

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

point, how, pk = sys.argv[1], sys.argv[2], sys.argv[3]
backend = current_store().backend
item = Item.objects.get(pk=pk)
item.price = 9
if point == "before release":
    backend.release = die
if how == "atomic":
    with transaction.atomic():
        item.save()
        if point == "before commit":
            die()
else:
    item.save()
"""


@pytest.mark.parametrize(
    ("point", "how", "expected"),
    [
        ("before release", "atomic", 9),
        ("before release", "autocommit", 9),
        ("before commit", "atomic", 0),
    ],
)
def test_a_writer_killed_at_any_instant_leaves_nothing_stale(
    goods, quick, settings, point, how, expected
):
    a, _, items = goods
    pk = items[0].pk
    price(pk), listed(a)
    db = settings.DATABASES["default"]
    name = connection.settings_dict["NAME"]
    code = (
        "from django.conf import settings\n"
        f"settings.DATABASES['default']['NAME'] = {name!r}\n"
        f"settings.CACHEPATTERNS = {dict(settings.CACHEPATTERNS)!r}\n" + DIES
    )
    assert db["ENGINE"].endswith("postgresql")
    process = subprocess.run(
        [sys.executable, "-c", code, point, how, str(pk)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (price(pk), listed(a)[0]) == (expected, expected)
    # The registration expires, its purge bumps, and the cache is used again: rightly.
    eventually(lambda: outcome_of(lambda: price(pk)) == "hit")
    eventually(lambda: outcome_of(lambda: listed(a)) == "hit")
    assert (price(pk), listed(a)[0]) == (expected, expected)


def test_a_rolled_back_transactions_registration_is_released_without_waiting(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 3600}
    pk = goods[2][0].pk
    price(pk)
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        assert len(writers()) == 1
        transaction.set_rollback(True)
    settle()
    assert writers() == {}
    assert price(pk) == 0
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_refused_write_within_a_transaction_leaves_nothing_registered(
    goods, settings, monkeypatch
):
    """Django keeps the error with the connection, and it keeps the frames it has passed."""
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "FENCE_SECONDS": 3600,
        "ON_REDIS_ERROR": "refuse",
    }
    _, _, items = goods
    store = current_store()

    def away(*args, **kwargs):
        raise BackendError("away")

    with pytest.raises(WriteRefused), transaction.atomic():  # noqa: PT012
        Item.objects.filter(pk=items[0].pk).update(price=9)
        for name in ("fence", "fence_ahead"):
            monkeypatch.setattr(store, name, away)
        Item.objects.filter(pk=items[1].pk).update(price=9)
    for name in ("fence", "fence_ahead"):
        monkeypatch.delattr(store, name)
    assert isinstance(connection.rollback_exc, WriteRefused)
    settle()
    assert writers() == {}
    assert price(items[0].pk) == 0
    assert outcome_of(lambda: price(items[0].pk)) == "hit"


def test_the_registration_of_a_transaction_whose_connection_died_expires(goods, quick):
    """Its outcome is not known to us: nothing may be released."""
    pk = goods[2][0].pk
    price(pk)
    with pytest.raises(Exception, match="closed"), transaction.atomic():  # noqa: PT012
        Item.objects.filter(pk=pk).update(price=9)
        connection.connection.close()
        Item.objects.filter(pk=pk).update(price=10)
    connection.close()
    settle()
    assert len(writers()) == 1
    assert price(pk) == 0
    eventually(lambda: outcome_of(lambda: price(pk)) == "hit")
    assert price(pk) == 0


def test_an_open_transaction_is_renewed_until_it_ends(goods, quick):
    pk = goods[2][0].pk
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        ((_, first),) = writers().items()
        eventually(lambda: next(iter(writers().values()))[0] > first[0] + 600)
    assert writers() == {}
    assert price(pk) == 9


def test_a_lost_registration_is_put_back_and_kills_what_was_stored_meanwhile(goods, quick):
    from tests.integration.test_transactions import in_thread

    pk = goods[2][0].pk
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        key, _ = guard()
        current_store().backend._client().delete(key)  # evicted
        eventually(lambda: len(writers()) == 1)
        assert in_thread(lambda: price(pk)) == 0
    assert price(pk) == 9
    assert in_thread(lambda: price(pk)) == 9


@pytest.mark.parametrize("loss", ["guard evicted", "everything flushed"])
def test_losing_a_registration_puts_the_model_in_quarantine(goods, loss, settings):
    """Nobody renews here in time: the quarantine alone must keep the old value out."""
    from tests.integration.test_transactions import in_thread

    pk = goods[2][0].pk
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 3600}
    client = current_store().backend._client()
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        client.flushdb() if loss == "everything flushed" else client.delete(guard()[0])
        with seen() as found:
            assert in_thread(lambda: price(pk)) == 0
            assert in_thread(lambda: price(pk)) == 0
        assert found.outcomes == ["miss", "miss"]
        assert set(found.reasons) == {"writer registered"}
    assert price(pk) == 9
    assert outcome_of(lambda: price(pk)) == "miss"
    nobody_writes()
    price(pk)
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_restarted_server_is_another_incarnation_even_with_its_data(
    transactional_db, tmp_path, settings
):
    with EmbeddedValkey(tmp_path) as server:
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": server.url},
        }
        settings.CACHEPATTERNS = {"BREAKER_SECONDS": 0, "FENCE_SECONDS": 3600}
        nobody_writes()
        category = Category.objects.create(name="c", slug="c")
        item = Item.objects.create(name="i", sku="i", category=category, price=1)
        price(item.pk)
        assert outcome_of(lambda: price(item.pk)) == "hit"
        with redis.Redis.from_url(server.url) as client:
            client.save()
        server.stop()
        server.start()
        # It listens on another port now; to the clients it is the same address as before.
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": server.url},
        }
        assert len(guard()[1]) > 0  # it has its data back
        with seen() as found:
            price(item.pk)
        assert found.reasons == ["writer registered"]
        nobody_writes()
        # What its lost registrations would have bumped nobody knows: everything is.
        assert outcome_of(lambda: price(item.pk)) == "miss"
        assert outcome_of(lambda: price(item.pk)) == "hit"


def test_what_can_not_register_is_refused_if_that_is_the_policy(
    goods, settings, tmp_path, monkeypatch
):
    _, _, items = goods
    with EmbeddedValkey(tmp_path) as server:
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": server.url},
        }
        settings.CACHEPATTERNS = {"BREAKER_SECONDS": 0, "ON_REDIS_ERROR": "refuse"}
        server.stop()
        for write in (save, save_atomic, raw_sql):
            with pytest.raises(WriteRefused, match="ON_REDIS_ERROR"):
                write(items[0])
        assert price(items[0].pk) == 0
        settings.CACHEPATTERNS = {"BREAKER_SECONDS": 0}
        save(items[0])
        assert price(items[0].pk) == 9


def test_manual_transactions_keep_readers_away_until_autocommit_is_back(goods):
    from tests.integration.test_transactions import in_thread

    pk = goods[2][0].pk
    price(pk)
    transaction.set_autocommit(False)
    try:
        Item.objects.filter(pk=pk).update(price=9)
        assert in_thread(lambda: price(pk)) == 0
        transaction.commit()
        assert in_thread(lambda: price(pk)) == 9
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert price(pk) == 9
    assert in_thread(lambda: price(pk)) == 9


def test_plain_managers_are_strict_too(goods, monkeypatch):
    note = Note.plain.create(item=goods[2][0], text="old")

    def texts():
        return list(Note.objects.values_list("text", flat=True))

    texts()
    held = Held(monkeypatch, lambda: Note.plain.filter(pk=note.pk).update(text="new"))
    assert texts() == ["new"]
    held.finish()
    assert texts() == ["new"]


def test_a_refused_statement_opens_the_guard_at_once(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 3600}
    _, _, items = goods
    pk = items[1].pk
    price(pk)
    with pytest.raises(IntegrityError):
        Item.objects.filter(pk=items[0].pk).update(sku=items[1].sku)
    assert writers() == {}
    assert outcome_of(lambda: price(pk)) == "hit"


@pytest.mark.without_outbox
@pytest.mark.parametrize("write", [save, raw_sql], ids=["save", "raw SQL"])
def test_an_interrupt_in_a_statement_leaves_the_guard_closed_until_it_expires(goods, quick, write):
    """It may have been carried out all the same."""
    pk = goods[2][0].pk
    price(pk)

    def interrupted(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if sql.startswith("UPDATE"):
            raise KeyboardInterrupt
        return answer

    # Innermost: the statement has been carried out when the interrupt comes.
    connection.execute_wrappers.append(interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(goods[2][0])
    finally:
        connection.execute_wrappers.remove(interrupted)
    assert price(pk) == 9
    eventually(lambda: outcome_of(lambda: price(pk)) == "hit")
    assert price(pk) == 9


@pytest.mark.parametrize("write", [save, raw_sql], ids=["save", "raw SQL"])
def test_who_keeps_the_error_of_a_lost_connection_keeps_no_readers_away(
    goods, quick, write, monkeypatch
):
    """An error keeps the frames that it has passed, and a driver's keeps even itself."""
    registered, renewed, backend = [], [], current_store().backend
    original, ahead = backend.fence, backend.fence_ahead

    def fence(token, *args, renew=False, **kwargs):
        (renewed if renew else registered).append(token)
        return original(token, *args, renew=renew, **kwargs)

    def fence_ahead(token, *args, **kwargs):
        registered.append(token)
        return ahead(token, *args, **kwargs)

    with connection.copy().cursor() as cursor:
        session = connection.connection.info.backend_pid
        cursor.execute("SELECT pg_terminate_backend(%s)", [session])
        cursor.db.close()
    monkeypatch.setattr(backend, "fence", fence)
    monkeypatch.setattr(backend, "fence_ahead", fence_ahead)
    with pytest.raises(OperationalError) as kept:
        write(goods[2][0])
    connection.close()
    renewed.clear()
    with transaction.atomic():
        save(goods[2][1])
        lost, living = registered
        eventually(lambda: renewed.count(living) > 3)
    assert renewed.count(lost) < 2  # one may have been under way
    assert kept.value.__traceback__ is not None


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_transaction_begun_by_hand_is_bumped_at_its_end(goods, end):
    """Django believes that each of these statements commits by itself."""
    from tests.integration.test_transactions import in_thread

    pk, expected = goods[2][0].pk, 9 if end == "COMMIT" else 0
    price(pk)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with seen() as found:
            price(pk)
        assert found.reasons == ["manual transaction"]
        cursor.execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])
        for _ in range(2):
            assert in_thread(lambda: price(pk)) == 0
        cursor.execute(end)
    assert price(pk) == expected
    assert in_thread(lambda: price(pk)) == expected
    assert writers() == {}
    assert outcome_of(lambda: price(pk)) == "hit"


def test_several_statements_of_which_one_sets_keep_the_connection_from_the_cache(goods):
    pk = goods[2][0].pk
    price(pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; SET search_path TO public")
    with seen() as found:
        price(pk)
    assert found.reasons == ["session state"]
    connection.close()


def test_a_parameter_that_means_now_is_not_cached(goods):
    query = Item.objects.annotate(at=Cast(Value("now"), DateTimeField()))
    with seen() as found:
        list(query)
    assert found.reasons == ["parameter that may mean now"]
