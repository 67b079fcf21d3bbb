"""Registering ahead spares time, and nothing else: what must stand before a COMMIT does.

What must not happen: a statement in autocommit is sent, or a transaction committed, before Redis
has said that the registration stands; tags that were not foreseen are committed unregistered; a
registration that was made ahead of a statement that never ran keeps readers away; something that
goes wrong while the database is at a statement leaves the connection without its answer.
"""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest
from django.core.exceptions import FieldError
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from cachepatterns.backends.errors import RedisError
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import tag_key
from cachepatterns.exceptions import WriteRefused
from cachepatterns.write import fence as fences
from cachepatterns.write.fence import settle
from tests.app.models import Item
from tests.events import eventually, outcome_of
from tests.integration.test_strict import guard, listed, price, writers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def order(monkeypatch, without_outbox):
    """What happens, in its order: ``ahead``, ``heard``, ``fence``, ``UPDATE``, ``COMMIT``.

    For registrations no time passes: a machine that is busy for long registers again, rightly.
    """
    found, backend, now = [], current_store().backend, time.monotonic()
    monkeypatch.setattr(fences, "time", SimpleNamespace(monotonic=lambda: now))
    ahead, fence, commit = backend.fence_ahead, backend.fence, connection._commit

    def fence_ahead(token, guards, **kwargs):
        found.append("ahead")
        answer = ahead(token, guards, **kwargs)
        return lambda: found.append("heard") or answer()

    def fence_now(token, guards, **kwargs):
        if threading.current_thread().name != "cachepatterns-fences":  # which renews now and then
            found.append("fence")
        return fence(token, guards, **kwargs)

    def committed():
        found.append("COMMIT")
        return commit()

    def watch(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            found.append("UPDATE")
        return execute(sql, params, many, context)

    monkeypatch.setattr(backend, "fence_ahead", fence_ahead)
    monkeypatch.setattr(backend, "fence", fence_now)
    monkeypatch.setattr(connection, "_commit", committed)
    with connection.execute_wrapper(watch):
        yield found


@pytest.fixture
def without_outbox(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}


def test_in_autocommit_the_statement_is_sent_when_the_guard_is_closed(goods, order):
    item = goods[2][0]
    item.price = 9
    item.save()
    assert order == ["ahead", "heard", "UPDATE"]
    order.clear()
    Item.objects.filter(pk=item.pk).update(price=8)
    assert order == ["ahead", "heard", "UPDATE"]


def test_in_a_transaction_it_stands_before_the_commit(goods, order):
    item = goods[2][0]
    item.price = 9
    with transaction.atomic():
        item.save()
    assert order == ["UPDATE", "ahead", "heard", "COMMIT"]


def test_what_was_not_foreseen_is_registered_too(goods, order):
    a, b, items = goods
    listed(a), listed(b)
    item = items[0]
    with transaction.atomic():
        item.category = b
        item.save()
        assert order == ["UPDATE", "ahead", "heard", "fence"]
        named = {key for entry in writers().values() for key in entry[1:]}
        assert any(key.endswith(f"category={a.pk}") for key in named)
        assert any(key.endswith(f"category={b.pk}") for key in named)
    assert item.price in listed(b)


def test_an_expression_is_not_foreseen(goods, order):
    item = goods[2][0]
    with transaction.atomic():
        Item.objects.filter(pk=item.pk).update(price=F("price") + 1)
    assert order == ["UPDATE", "fence", "COMMIT"]


def test_a_second_save_of_the_row_registers_nothing(goods, order):
    item = goods[2][0]
    with transaction.atomic():
        item.save()
        item.price = 9
        item.save()
    assert order == ["UPDATE", "ahead", "heard", "UPDATE", "COMMIT"]


@pytest.mark.parametrize("atomic", [True, False])
def test_who_was_slow_between_registering_and_the_answer_registers_again(
    goods, order, monkeypatch, atomic
):
    """A transaction that begins later than that could outlive its registration."""
    item, slow = goods[2][0], config().FENCE_SECONDS / 10 + 0.01
    now, clock = [0.0], fences.time.monotonic
    monkeypatch.setattr(fences.time, "monotonic", lambda: clock() + now[0])

    def pause(execute, *args):
        answer = execute(*args)
        now[0] += slow
        return answer

    opens = BaseDatabaseWrapper.cursor

    def paused(self):
        now[0] += slow
        return opens(self)

    if not atomic:
        monkeypatch.setattr(BaseDatabaseWrapper, "cursor", paused)
        item.save()
        assert order == ["ahead", "heard", "fence", "UPDATE"]
        return
    with connection.execute_wrapper(pause), transaction.atomic():
        item.save()
    assert order == ["UPDATE", "ahead", "heard", "fence", "COMMIT"]


def test_a_refused_statement_keeps_nobody_away(goods, order):
    item, other = goods[2][:2]
    item.sku = other.sku
    with pytest.raises(IntegrityError):
        item.save()
    assert order == ["ahead", "heard", "UPDATE"]
    current_store().settle()
    assert writers() == {}


def test_a_statement_that_can_not_be_compiled_keeps_nobody_away(goods, order):
    item = goods[2][0]
    price(item.pk)
    with pytest.raises(FieldError):
        Item.objects.filter(pk=item.pk).update(price=F("category__name"))
    assert Item.objects.filter(pk=2**70).update(price=9) == 0
    current_store().settle()
    assert writers() == {}
    assert "UPDATE" not in order
    assert outcome_of(lambda: price(item.pk)) == "hit"


def test_a_write_of_no_row_in_a_transaction_keeps_nobody_away(goods, order):
    item = goods[2][0]
    Item.objects.filter(pk=item.pk).delete()
    with transaction.atomic(), pytest.raises(DatabaseError), transaction.atomic():
        item.save(force_update=True)
    current_store().settle()
    assert "ahead" in order
    assert writers() == {}


def test_in_a_transaction_the_database_is_at_work_meanwhile(goods, order):
    """Another transaction holds the row, so the UPDATE waits; the registration does not."""
    item = goods[2][0]

    def save():
        try:
            with transaction.atomic():
                item.save()
        finally:
            connections["default"].close()

    with transaction.atomic():
        Item.objects.select_for_update().get(pk=item.pk)
        saving = threading.Thread(target=save)
        saving.start()
        eventually(lambda: writers())
        assert saving.is_alive()
    saving.join(20)
    assert not saving.is_alive()
    current_store().settle()
    assert writers() == {}


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_goes_wrong_meanwhile_is_raised_and_the_connection_goes_on(
    goods, monkeypatch, without_outbox, error, times
):
    item, backend = goods[2][0], current_store().backend
    driver = connections["default"].connection
    for _ in range(times - 1):
        item.save()
    before = price(item.pk)

    def fails(*args, **kwargs):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(backend, "fence_ahead", fails)
        item.price = 99
        with pytest.raises(error), transaction.atomic():
            item.save()
    assert connections["default"].connection is driver
    assert "wait" not in vars(driver)
    settle()
    assert price(item.pk) == before
    item.save()
    assert price(item.pk) == 99


@pytest.mark.parametrize("times", [1, 4])
def test_a_refused_statement_in_a_transaction_keeps_nobody_away(goods, order, times):
    item, other = goods[2][:2]
    for _ in range(times - 1):
        item.save()
    order.clear()
    item.sku = other.sku
    with pytest.raises(IntegrityError), transaction.atomic():
        item.save()
    assert order == ["UPDATE", "ahead"]
    settle()
    assert writers() == {}


class Gone(RedisError):
    def __init__(self):
        super().__init__(ConnectionResetError("reset"))


@pytest.fixture
def breaker():
    """A breaker that is closed again afterwards."""
    yield
    current_store()._open_until = 0.0


@pytest.mark.parametrize("atomic", [True, False])
def test_where_the_answer_does_not_come_a_refusing_policy_writes_nothing(
    goods, monkeypatch, settings, without_outbox, breaker, atomic
):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ON_REDIS_ERROR": "refuse"}
    item, backend = goods[2][0], current_store().backend
    before = price(item.pk)

    def never():
        raise Gone

    monkeypatch.setattr(backend, "fence_ahead", lambda *args, **kwargs: never)
    item.price = 99
    block = transaction.atomic() if atomic else contextlib.nullcontext()
    with pytest.raises(WriteRefused) as kept, block:
        item.save()
    settle()
    assert not list(fences._open), "it is renewed for as long as somebody keeps the error"
    assert kept.value.__traceback__ is not None
    assert Item.objects.uncached().get(pk=item.pk).price == before


def test_an_answer_is_heard_before_the_next_is_waited_for(
    goods, monkeypatch, settings, without_outbox, breaker
):
    """The first writes nothing, so nobody hears of it: it may be lost, and its row written yet."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ON_REDIS_ERROR": "refuse"}
    a, item, backend = goods[0], goods[2][0], current_store().backend
    ahead, answers = backend.fence_ahead, []

    def first_is_lost(*args, **kwargs):
        answers.append(args)
        return ahead(*args, **kwargs) if len(answers) > 1 else never

    def never():
        raise Gone

    gone = Item(pk=item.pk + 10**6, name="gone", sku="gone", category=a, price=1)
    monkeypatch.setattr(backend, "fence_ahead", first_is_lost)
    with pytest.raises(WriteRefused), transaction.atomic():  # noqa: PT012
        with contextlib.suppress(DatabaseError), transaction.atomic():
            gone.save(force_update=True)
        a.save()
    assert len(answers) == 1


def test_where_the_answer_does_not_come_the_release_waits(
    goods, monkeypatch, without_outbox, breaker
):
    item, backend = goods[2][0], current_store().backend
    price(item.pk)
    calls, release = [], backend.release

    def never():
        raise Gone

    def released(*args, heard=None, **kwargs):
        calls.append(heard)
        return release(*args, heard=heard, **kwargs)

    monkeypatch.setattr(backend, "fence_ahead", lambda *args, **kwargs: never)
    monkeypatch.setattr(backend, "release", released)
    item.price = 99
    item.save()
    assert calls == [None]  # nobody is told later: it was waited for
    assert price(item.pk) == 99


def test_another_reader_is_kept_away_while_the_statement_runs(goods, order):
    """The row is closed before its UPDATE is sent; lists of other categories are not."""
    _, b, items = goods
    item, seen = items[0], []
    price(item.pk), listed(b)

    def look(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            thread = threading.Thread(target=read)
            thread.start()
            thread.join(20)
        return execute(sql, *rest)

    def read():
        try:
            seen.append(outcome_of(lambda: listed(b)))
        finally:
            connection.close()

    with transaction.atomic(), connection.execute_wrapper(look):
        item.price = 9
        item.save()
    assert seen == ["hit"]
    assert price(item.pk) == 9


def test_the_stamp_of_a_foreseen_row_is_gone_before_the_commit(goods, order):
    item = goods[2][0]
    price(item.pk)
    name = guard()[0].rpartition("guard:")[2]
    stamp = tag_key(config().PREFIX, f"{name}:pk={item.pk}")
    client = current_store().backend._client()
    assert client.get(stamp)
    with transaction.atomic():
        item.save()
        assert client.get(stamp) is None
