"""Refreshes by other hands: one of several processes, a queue of tasks, a hook of one's own."""

import json
import os
import subprocess
import sys
import threading

import django
import msgspec
import pytest
from django.core import signing
from django.db import connection, transaction

from cachepatterns import refresh_entry
from cachepatterns.backends.store import current_store
from cachepatterns.core import outcome
from cachepatterns.core.entry import unpack
from cachepatterns.observe import BurstLog
from cachepatterns.read import handing
from cachepatterns.read import pool as pools
from cachepatterns.read.pool import Pool
from shop.home import BASE_DIR
from tests.app.models import Item
from tests.events import outcome_of, seen
from tests.integration.threads import running
from tests.policies import policy_of
from tests.soft import clock, settled, tiers  # noqa: F401

sent: list[str] = []
"""What `send` was given: the queue of a broker."""


def send(message):
    sent.append(message)


def listed():
    return [item.price for item in Item.objects.filter(active=True)]


QUERIES = {
    "a list": listed,
    "a row": lambda: Item.objects.get(sku="s0").price,
    "a count": lambda: Item.objects.filter(active=True).count(),
    "whether there is one": lambda: Item.objects.filter(active=True).exists(),
}


@pytest.fixture
def soft(goods, settings, clock):  # noqa: F811
    tiers(settings, stale_for=300)
    sent.clear()
    return clock


@pytest.fixture
def handed(soft, settings):
    path = f"{__name__}.send"
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH": path}
    return soft


@pytest.mark.parametrize("read", QUERIES.values(), ids=QUERIES)
def test_a_hook_is_given_a_message_that_any_process_can_carry_out(handed, read):
    answer = read()
    with connection.cursor() as cursor:  # past Django's wrappers: nobody invalidates
        cursor.cursor.execute("UPDATE app_item SET price = 77, active = false")
    handed.ahead = 910
    assert outcome_of(read) == "stale"
    settled()
    assert [outcome_of(read) for _ in range(3)] == ["stale"] * 3
    settled()
    [message] = sent  # one, while nobody has carried it out
    with seen() as found:
        refresh_entry(message)
    assert [e.result for e in found.refreshes] == [outcome.REFRESHED]
    handed.ahead = 0
    assert read() != answer
    refresh_entry(message)  # once more, as queues do it: there is a newer entry
    assert len(found.refreshes) == 1


def message_of(handed, read):
    """What is handed over to have an entry refreshed."""
    read()
    handed.ahead = 910
    assert outcome_of(read) == "stale"
    settled()
    [message] = sent
    handed.ahead = 0
    return message


def test_a_snapshot_is_published_by_nobody(handed):
    """A worker's transaction begins · another commits and bumps · the worker takes the message."""
    read = QUERIES["a row"]
    message = message_of(handed, read)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1")
        with running(lambda: Item.objects.filter(sku="s0").update(price=99)) as done:
            done()
        with seen() as found:
            refresh_entry(message)
    assert [e.result for e in found.refreshes] == [outcome.SKIPPED]
    assert read() == 99


def test_nor_what_nobody_has_committed(handed):
    read = QUERIES["a row"]
    with policy_of(Item, consistency="eventual"):
        message = message_of(handed, read)
        Item.objects.filter(sku="s0").update(stock=3)  # the entry is outdated
        with transaction.atomic():
            Item.objects.filter(sku="s0").update(price=99)
            refresh_entry(message)
            with running(read) as other:
                assert other() == 0
            transaction.set_rollback(True)
        assert read() == 0


def test_raw_sql_is_refreshed_here(handed):
    def raw():
        text = "SELECT * FROM app_item WHERE active"
        return [item.name for item in Item.objects.raw(text, tags=[Item])]

    raw()
    handed.ahead = 910
    with seen() as found:
        raw()
        settled()
    assert sent == []
    assert [e.result for e in found.refreshes] == [outcome.REFRESHED]


def test_a_message_of_anybody_else_is_refused(handed):
    with pytest.raises(signing.BadSignature):
        refresh_entry("made:up")
    with pytest.raises(signing.BadSignature):
        refresh_entry(signing.dumps("x", salt="another"))


def test_a_hook_that_is_not_there_is_counted_and_what_stands_is_served(soft, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH": "tests.nothing.there"}
    listed()
    soft.ahead = 910
    with seen() as found:
        assert outcome_of(listed) == "stale"
        settled()
    assert [e.result for e in found.refreshes] == [outcome.FAILED]


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the tasks framework came with Django 6.0")
def test_django_s_tasks(soft, settings):
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH": "tasks"}
    from django.tasks.signals import task_finished

    listed()
    soft.ahead = 910
    done = []

    def hear(task_result, **kwargs):
        done.append(task_result.status)

    task_finished.connect(hear)
    with seen() as found:
        assert outcome_of(listed) == "stale"
        settled()
    task_finished.disconnect(hear)
    assert done == ["SUCCESSFUL"]
    assert [e.result for e in found.refreshes] == [outcome.REFRESHED]


READER = """
import json, sys
from cachepatterns import observe
from cachepatterns.observe import ReadEvent, RefreshEvent
from cachepatterns.read.pool import pool
from tests.app.models import Item

reads, refreshes = [], []

def hear(event):
    if isinstance(event, ReadEvent):
        reads.append(event.outcome)
    elif isinstance(event, RefreshEvent):
        refreshes.append(event.result)

observe.subscribe(hear)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    list(Item.objects.filter(active=True))
assert pool.settle(20)
print(json.dumps([reads, refreshes]), flush=True)
"""


def grow_older(seconds):
    """Every list that stands was stored so many seconds earlier."""
    client = current_store().backend._client()
    for key in client.keys("*:q:app.item.*"):
        entry = unpack(client.get(key))
        older = msgspec.structs.replace(entry, stored_at=entry.stored_at - seconds)
        client.set(key, msgspec.msgpack.encode(older), keepttl=True)


def test_of_several_processes_one_refreshes(soft, settings):
    listed()
    grow_older(910)
    head = (
        "from django.conf import settings\n"
        f"settings.DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
        f"settings.CACHEPATTERNS = {dict(settings.CACHEPATTERNS)!r}\n"
        "import django\ndjango.setup()\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", head + READER],
            cwd=BASE_DIR,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in running:
            assert process.stdout.readline().strip() == "ready"
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        told = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert {how for reads, _ in told for how in reads} <= {"stale", "hit"}
    assert [result for _, refreshes in told for result in refreshes] == ["refreshed"]


# -- the pool -----------------------------------------------------------------------------


@pytest.fixture
def pool():
    found = Pool()
    yield found
    found.close(20)


def test_a_job_of_a_name_waits_once(pool):
    done, times = threading.Event(), []
    pool.submit("a", lambda: done.wait(20) and 0.0)
    assert not pool.wants("a")
    for _ in range(5):
        assert pool.submit("a", lambda: times.append(1) or 0.0)
    done.set()
    assert pool.settle(20)
    assert times == []
    assert pool.wants("a")


def test_what_is_not_to_be_asked_again_soon_is_not(pool):
    pool.submit("a", lambda: 60.0)
    assert pool.settle(20)
    assert not pool.wants("a")
    pool.forget()
    assert pool.wants("a")


def test_a_job_that_raises_ends_no_thread(pool, caplog, monkeypatch):
    monkeypatch.setattr(pools, "log", BurstLog())
    pool.submit("a", lambda: 1 / 0)
    assert pool.settle(20)
    done = threading.Event()
    pool.submit("b", lambda: done.set() or 0.0)
    assert done.wait(20)
    assert "could not refresh" in caplog.text


def test_there_are_no_more_threads_than_said(pool, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REFRESH_THREADS": 2}
    done = threading.Event()
    for n in range(10):
        pool.submit(str(n), lambda: done.wait(20) and 0.0)
    assert len(pool._threads) == 2
    done.set()
    assert pool.settle(20)


def test_closed_it_takes_nothing_more(pool):
    pool.close()
    assert not pool.submit("a", lambda: 0.0)


def test_a_fork_begins_anew(pool):
    done = threading.Event()
    pool.submit("a", lambda: done.wait(20) and 0.0)
    pool.reset()
    assert pool.wants("a")
    ran = threading.Event()
    assert pool.submit("a", lambda: ran.set() or 0.0)
    assert ran.wait(20)
    done.set()


def test_messages_are_signed_with_the_secret_key(handed, settings):
    listed()
    handed.ahead = 910
    listed()
    settled()
    [message] = sent
    settings.SECRET_KEY = "another"
    with pytest.raises(signing.BadSignature):
        handing.taken(message)
