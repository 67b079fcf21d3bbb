"""A bump that is owed is paid by one that was sent after the debt had arisen, and by no other.

What must not happen: somebody forgets a debt that was never paid, and what rests on its stamp is
served until its TTL is over.
"""

import os
import signal

import pytest
import redis

from cachepatterns.backends.lines import Lines
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store
from shop.servers import EmbeddedValkey
from tests.backends.conftest import GUARD
from tests.faults.proxy import Proxy
from tests.impatience import impatient

pytestmark = pytest.mark.usefixtures("never_by_itself")

OWN, OTHER = "test:tag:a@d:*", "test:tag:b@d:*"


@pytest.fixture
def store(empty_cache):
    return Store(RedisBackend("default"))


@pytest.mark.parametrize("way", ["bump", "deliver", "release"])
def test_a_debt_that_arises_while_the_same_key_is_bumped_stays(store, way, monkeypatch):
    """A's bump of K is carried out · B commits, and his bump of K fails · A hears of his own."""
    name = "release" if way == "release" else "delete"
    method = getattr(store.backend, name)

    def and_then_another_one_fails(*args, **kwargs):
        done = method(*args, **kwargs)
        store._owe([OTHER])
        return done

    monkeypatch.setattr(store.backend, name, and_then_another_one_fails)
    if way == "bump":
        assert store.bump([OTHER])
    elif way == "deliver":
        store._owe([OTHER])
        store.deliver()
    else:
        assert store.release("w", [GUARD], [OTHER], wait=True)
    assert store.undelivered == 1
    monkeypatch.undo()
    store.deliver()
    assert store.undelivered == 0


def test_a_release_that_nobody_waits_for_pays_nobodys_debts(store, monkeypatch):
    """A finds nothing owed · B's bump fails · A's release goes out as it was made."""
    store.backend._client().set(OTHER, b"old")
    store.fence("w", {GUARD: [OWN]})
    release = store.backend.release

    def after_another_one_has_failed(*args, **kwargs):
        store._owe([OTHER])
        return release(*args, **kwargs)

    monkeypatch.setattr(store.backend, "release", after_another_one_has_failed)
    store.release("w", [GUARD], [OWN])
    store.settle()
    assert store.undelivered == 1
    assert store.read([], [OTHER]).values == [None]


@pytest.mark.parametrize("pool", ["plain", "small"])
def test_a_release_that_fails_while_it_is_sent_is_owed(tmp_path, settings, pool):
    """Where no line is held its answer is heard at once, within the call that has sent it."""
    with EmbeddedValkey(tmp_path) as server, Proxy(server.port) as proxy:
        default = {
            **settings.CACHES["default"],
            "LOCATION": f"redis://127.0.0.1:{proxy.port}/0",
        }
        settings.CACHES = {**settings.CACHES, "default": default}
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "BREAKER_SECONDS": 0}
        backend = RedisBackend("default")
        if pool == "small":
            options = backend._client().connection_pool.connection_kwargs
            backend._lines = Lines(redis.ConnectionPool(max_connections=3, **options))
        store = Store(backend)
        backend.tend([GUARD], life=60.0, no_writers=True)
        with redis.Redis.from_url(server.url) as direct:
            direct.set(OTHER, b"old")
        store.fence("w", {GUARD: [OWN]})
        proxy.swallow()
        with impatient(backend):
            store.release("w", [GUARD], [OWN, OTHER])
            store.settle()
        assert store.undelivered == 2
        proxy.heal()
        assert store.read([], [OTHER]).values == [None]
        assert store.undelivered == 0


class TimeLimit(Exception):
    """What a job queue raises in whatever is going on when a job's time is over."""


def test_a_bump_that_is_interrupted_is_owed(store, monkeypatch):
    def interrupted(keys):
        raise TimeLimit

    monkeypatch.setattr(store.backend, "delete", interrupted)
    with pytest.raises(TimeLimit):
        store.bump([OTHER])
    assert store.undelivered == 1


def test_a_time_limit_is_raised_where_answers_are_heard(stopped):
    backend, server = stopped
    store = Store(backend)
    store.fence("w", {GUARD: [OWN]})
    os.kill(server.pid, signal.SIGSTOP)
    store.release("w", [GUARD], [OWN])

    def over(*args):
        os.kill(server.pid, signal.SIGCONT)
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeLimit):
            store.read([GUARD], [OWN])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert store.read([GUARD], [OWN]).values == [None]
    assert store.undelivered == 0
