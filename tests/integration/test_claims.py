"""One loader of all processes, and the interleavings in which nobody may wait, or load again.

The slow query is one that waits for a lock; the test holds it for as long as it likes.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.core.stamp import new_stamp
from cachepatterns.exceptions import BackendError
from cachepatterns.read import claim
from shop.home import BASE_DIR
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of, seen
from tests.integration.threads import running

PATIENCE = 60
"""Seconds; of readers with Redis too: where it answers too late, they rightly ask the database."""
WHO_ASKS = """
FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND NOT granted AND mode = 'AccessShareLock'
"""


def listed(category):
    return [item.price for item in Item.objects.filter(category=category)]


def claims():
    return current_store().backend._client().keys("*:claim:*")


# -- real processes ---------------------------------------------------------------------------

READER = """
import json, sys, threading
from django.db import connection
from cachepatterns import observe
from cachepatterns.backends.store import current_store
from cachepatterns.observe import ReadEvent
from tests.app.models import Item

category, threads = int(sys.argv[1]), int(sys.argv[2])
answers, outcomes, statements, said = [], [], [], set()
backend = current_store().backend
claim = backend.claim

def say(word):
    if word not in said:
        said.add(word)
        print(word, flush=True)

def claiming(*args):
    is_mine = claim(*args)
    say("claims" if is_mine else "waits")
    return is_mine

def count(execute, *args):
    statements.append(1)
    return execute(*args)

def hear(event):
    if isinstance(event, ReadEvent):
        outcomes.append(event.outcome)

def read():
    connection.ensure_connection()
    connection.execute_wrappers.append(count)
    together.wait()
    try:
        answers.append([int(i.price) for i in Item.objects.filter(category=category)])
    finally:
        connection.close()

backend.ping()
backend.claim = claiming
observe.subscribe(hear)
together = threading.Barrier(threads + 1)
running = [threading.Thread(target=read) for _ in range(threads)]
for thread in running:
    thread.start()
say("ready")
sys.stdin.readline()
together.wait()
for thread in running:
    thread.join()
print(json.dumps([answers, outcomes, len(statements)]), flush=True)
"""


class Reader:
    """A process whose threads all ask the same at once when it is told to."""

    def __init__(self, settings, category, threads):
        head = (
            "from django.conf import settings\n"
            f"settings.DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
            f"settings.CACHEPATTERNS = {dict(settings.CACHEPATTERNS)!r}\n"
            "settings.CACHES['default']['OPTIONS'] |= "
            f"{dict.fromkeys(('SOCKET_TIMEOUT', 'SOCKET_CONNECT_TIMEOUT'), PATIENCE)!r}\n"
            "import django\ndjango.setup()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", head + READER, str(category.pk), str(threads)],
            cwd=BASE_DIR,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines, self.said = SimpleQueue(), []
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def has_said(self, *words):
        try:
            while True:
                self.said.append(self._lines.get_nowait())
        except Empty:
            return bool({*words} & {*self.said})

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ended(self):
        """Its answers, outcomes and statements."""
        assert self.process.wait(PATIENCE) == 0
        self._listener.join(20)
        self.has_said()
        return SimpleNamespace(
            **dict(zip(("answers", "outcomes", "queries"), json.loads(self.said[-1]), strict=True))
        )

    def close(self):
        self.process.kill()
        self.process.wait()
        self._listener.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def herd(settings, goods):
    """Starts readers that miss the same, until one loads and all others wait for him."""
    with ExitStack() as stack:

        def start(processes, threads, timeout):
            settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FLIGHT_TIMEOUT": timeout}
            readers = [Reader(settings, goods[0], threads) for _ in range(processes)]
            for reader in readers:
                stack.callback(reader.close)
            for reader in readers:
                eventually(lambda r=reader: r.has_said("ready"), within=PATIENCE)
            return readers

        yield start


@contextmanager
def locked():
    """Nobody can read the items; yields how many statements would like to."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.cursor.execute("LOCK TABLE app_item IN ACCESS EXCLUSIVE MODE")

        def asking():
            cursor.cursor.execute("SELECT count(*)" + WHO_ASKS)
            return cursor.cursor.fetchone()[0]

        yield asking


def gather(readers):
    """Have them ask, and wait until one loads and the others wait: `(loader, waiting)`."""
    for reader in readers:
        reader.go()
    for reader in readers:
        eventually(lambda r=reader: r.has_said("claims", "waits"), within=PATIENCE)
    loaders = [reader for reader in readers if reader.has_said("claims")]
    assert len(loaders) == 1
    return loaders[0], [reader for reader in readers if reader is not loaders[0]]


def test_four_processes_that_miss_one_slow_query_at_once_ask_it_once(herd):
    readers = herd(4, 8, timeout=60)
    with locked() as asking:
        _loader, waiting = gather(readers)
        eventually(lambda: asking() == 1)
    ended = [reader.ended() for reader in readers]
    assert [answer for one in ended for answer in one.answers] == [[0, 2]] * 32
    assert sum(one.queries for one in ended) == 1
    outcomes = [outcome for one in ended for outcome in one.outcomes]
    assert outcomes.count("miss") == 1
    # Who has come so late that the entry was there already has hit.
    assert set(outcomes) <= {"miss", "shared", "hit"}
    assert all("shared" in reader.ended().outcomes for reader in waiting)
    assert claims() == []


def test_a_loader_that_is_killed_is_made_up_for_by_one_of_those_who_wait(herd):
    readers = herd(3, 2, timeout=120)
    client = current_store().backend._client()
    with locked() as asking:
        loader, waiting = gather(readers)
        eventually(lambda: asking() == 1)
        loader.process.send_signal(signal.SIGKILL)
        loader.process.wait(20)
        (left,) = claims()
        assert 0 < client.pttl(left) <= 60_000  # it expires when half of their patience is over
        client.pexpire(left, 1)  # which is now
    ended = [reader.ended() for reader in waiting]
    assert [answer for one in ended for answer in one.answers] == [[0, 2]] * 4
    assert sum(one.queries for one in ended) == 1


def test_a_loader_that_fails_takes_its_claim_back_at_once(herd):
    """Its claim would live for longer than this test waits."""
    readers = herd(2, 1, timeout=120)
    with locked() as asking:
        loader, (other,) = gather(readers)
        eventually(lambda: asking() == 1)
        with connection.cursor() as cursor:
            cursor.cursor.execute("SELECT pg_terminate_backend(pid)" + WHO_ASKS)
        eventually(lambda: other.has_said("claims"))
    assert other.ended().answers == [[0, 2]]
    assert loader.ended().answers == []


# -- who claims -------------------------------------------------------------------------------


@pytest.fixture
def claimed(monkeypatch):
    """The claims that are made; to `before` each, something may be done, and it may say that
    another has made it."""
    store, made = current_store(), SimpleNamespace(count=0, before=lambda: None)
    original = store.claim

    def claiming(*args):
        made.count += 1
        return original(*args) if made.before() is None else False

    monkeypatch.setattr(store, "claim", claiming)
    monkeypatch.setattr(claim, "_times", {})
    return made


@pytest.fixture
def all_slow(monkeypatch):
    monkeypatch.setattr(claim, "SLOW_SECONDS", 0.0)


def test_what_is_known_to_load_fast_is_not_claimed(goods, claimed, monkeypatch):
    monkeypatch.setattr(claim, "SLOW_SECONDS", 60.0)
    a, b, _ = goods
    listed(a)
    assert claimed.count == 1  # nobody knew
    assert outcome_of(lambda: listed(b)) == "miss"
    assert claimed.count == 1


def test_what_took_long_when_it_was_loaded_last_is_claimed_though_its_like_is_fast(
    goods, claimed, monkeypatch
):
    """The entry tells, which a write has outdated."""
    a, b, items = goods
    listed(a)
    monkeypatch.setattr(claim, "SLOW_SECONDS", 1e-6)
    monkeypatch.setattr(claim, "_times", dict.fromkeys(claim._times, 0.0))
    assert outcome_of(lambda: listed(b)) == "miss"
    assert claimed.count == 1
    monkeypatch.setattr(claim, "_times", dict.fromkeys(claim._times, 0.0))
    Item.objects.filter(pk=items[0].pk).update(price=9)
    assert outcome_of(lambda: listed(a)) == "miss"
    assert claimed.count == 2


def test_a_transaction_neither_waits_nor_claims(goods, claimed, all_slow):
    """The loader might wait for a lock that it holds."""
    claimed.before = lambda: "another's"
    with transaction.atomic():
        assert outcome_of(lambda: listed(goods[0])) == "miss"
    assert claimed.count == 0


def test_a_load_within_a_load_neither_waits_nor_claims(goods, claimed, all_slow):
    """Two who load, and wait for what the other is loading, would wait for long."""
    a, b, _ = goods

    def ask_more(execute, *args):
        if not claimed.count:
            return execute(*args)
        claimed.before = lambda: "another's"
        with seen() as found:
            assert Category.objects.get(pk=b.pk).name == "b"
        assert found.outcomes == ["miss"]
        return execute(*args)

    def nested(execute, *args):
        connection.execute_wrappers.remove(nested)
        return ask_more(execute, *args)

    connection.ensure_connection()
    connection.execute_wrappers.append(nested)
    assert listed(a) == [0, 2]
    assert claimed.count == 1


# -- interleavings ----------------------------------------------------------------------------


def test_who_claims_after_another_has_stored_takes_what_was_stored(goods, claimed, all_slow):
    """Lookup by B; A stores and takes its claim back; claim by B."""
    a, client = goods[0], current_store().backend._client()
    listed(a)
    (key,) = client.keys("*:q:app.item*")
    entry = client.getdel(key)
    claimed.before = lambda: client.set(key, entry) and None
    with seen() as found, seen_queries() as queries:
        assert listed(a) == [0, 2]
    assert (found.outcomes, queries) == (["shared"], [])
    assert claims() == []


def test_who_waits_while_a_writer_bumps_loads_what_is_true_now(goods, claimed, all_slow):
    """What he waits for is worthless now, and what he would load under his stamps too."""
    a, pk = goods[0], goods[2][0].pk

    def write():
        claimed.before = lambda: None
        with running(lambda: Item.objects.filter(pk=pk).update(price=9)) as done:
            assert done() == 1
        return "another's"

    claimed.before = write
    assert listed(a) == [9, 2]
    assert claimed.count == 2
    assert outcome_of(lambda: listed(a)) == "hit"
    assert claims() == []


def test_nobody_waits_for_a_load_begun_before_a_write_that_he_has_seen(goods, all_slow):
    """The claim has another name: it is the stamps'."""
    a, pk = goods[0], goods[2][0].pk
    store, names = current_store(), []
    original = store.claim
    store.claim = lambda *args: names.append(args[0]) or original(*args)
    try:
        listed(a)
        Item.objects.filter(pk=pk).update(price=9)
        original(names[0], "another's", 60.0)
        assert listed(a) == [9, 2]
    finally:
        del store.claim
    assert len(set(names)) == 2


def test_who_waits_while_a_writer_registers_asks_the_database_and_stores_nothing(
    goods, claimed, all_slow
):
    a, store = goods[0], current_store()
    guards = []
    read = store.read
    store.read = lambda *args: guards.extend(args[0]) or read(*args)

    def register():
        store.fence("writer", {guard: ["*", "model"] for guard in guards})
        return "another's"

    claimed.before = register
    try:
        with seen() as found:
            assert listed(a) == [0, 2]
    finally:
        del store.read
        store.release("writer", guards, [], wait=True)
    assert (found.outcomes, found.reasons) == (["miss"], ["writer registered"])
    claimed.before = lambda: None
    assert outcome_of(lambda: listed(a)) == "miss"


def test_who_has_waited_long_enough_loads_for_himself(
    goods, claimed, all_slow, settings, monkeypatch
):
    """Time is what he has slept through: on a busy machine one look might take all of it."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FLIGHT_TIMEOUT": 0.05}
    slept = [0.0]
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(claim, "time", clock)
    claimed.before = lambda: "another's"
    assert outcome_of(lambda: listed(goods[0])) == "miss"
    assert claimed.count > 1
    assert outcome_of(lambda: listed(goods[0])) == "hit"


def test_a_claim_that_can_not_be_made_keeps_nobody_from_loading(goods, claimed, all_slow):
    def fail():
        raise BackendError("gone")

    claimed.before = fail
    assert outcome_of(lambda: listed(goods[0])) == "miss"
    assert outcome_of(lambda: listed(goods[0])) == "hit"


# -- the claim --------------------------------------------------------------------------------


def test_a_claim_is_its_owners_alone(empty_cache):
    backend, one, other = current_store().backend, new_stamp().hex(), new_stamp().hex()
    assert backend.claim("c", one, 60.0)
    assert not backend.claim("c", other, 60.0)
    backend.disclaim("c", other)
    assert not backend.claim("c", other, 60.0)
    backend.disclaim("c", one)
    assert backend.claim("c", other, 60.0)


def test_a_claim_that_was_sent_twice_is_ours(empty_cache):
    """The answer to the first was lost with its connection."""
    backend = current_store().backend
    assert backend.claim("c", "mine", 60.0)
    assert backend.claim("c", "mine", 60.0)


def test_a_claim_expires(empty_cache):
    backend = current_store().backend
    assert backend.claim("c", "dead", 0.02)
    eventually(lambda: backend.claim("c", "mine", 60.0))
    backend.disclaim("c", "dead")
    assert not backend.claim("c", "other", 60.0)


def test_the_longest_load_of_a_pattern_fades(monkeypatch):
    monkeypatch.setattr(claim, "_times", {})
    question = SimpleNamespace(label="app.item", pattern="list")
    assert claim.is_worth_it(question, None)
    claim.note(question, 0.001)
    assert not claim.is_worth_it(question, None)
    claim.note(question, 0.1)
    for _ in range(10):
        claim.note(question, 0.001)
        assert claim.is_worth_it(question, None)
    for _ in range(20):
        claim.note(question, 0.001)
    assert not claim.is_worth_it(question, None)


@contextmanager
def seen_queries():
    queries = []

    def count(execute, sql, *args):
        queries.append(sql)
        return execute(sql, *args)

    connection.ensure_connection()
    with connection.execute_wrapper(count):
        yield queries
