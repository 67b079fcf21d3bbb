"""The near-cache on a real Valkey: what it serves was valid a moment ago, whatever happens."""

import os
import threading
import time
import tracemalloc

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachepatterns.backends import incarnation
from cachepatterns.backends.near import EACH, OVERHEAD, NearCache
from cachepatterns.backends.store import Store, make_backend
from cachepatterns.backends.tracking import Tracking
from cachepatterns.core.entry import Entry
from shop.servers import EmbeddedValkey
from tests.events import eventually
from tests.faults.proxy import Proxy

TAG, GUARD = "near:tag:a", "near:guard:a"
OTHER = "near:tag:b"


def entry(body=b"x"):
    return Entry(1, [], 0.0, 0.0, 60.0, 1, "", 0, body)


class Near:
    """A near-cache on a connection of its own, and what it hears."""

    def __init__(self, url, most=10_000, **more):
        backend = make_backend("default")
        self.heard = []

        def listen(changed, lost):
            def hears(keys):
                changed(keys)
                self.heard.append(keys if keys is None else list(keys))

            def loses():
                lost()
                self.heard.append("lost")

            self.tracking = backend.tracking(hears, loses)
            # A machine that is busy is no server that is dead.
            pool = redis.ConnectionPool.from_url(url, protocol=3, socket_timeout=60, **more)
            self.tracking._connect = pool.make_connection
            return self.tracking

        self.cache = NearCache(listen, most=lambda: most)

    def live(self, accepted=60.0):
        eventually(lambda: self.cache.expect([TAG, GUARD, OTHER], accepted) is not None)
        return self

    def keep(self, key, *, rests_on=(TAG, GUARD), accepted=60.0, ttl=60.0, body=b"x"):
        cells = []

        def expected():  # what is accepted may be less than this machine was busy for just now
            cells[:] = self.cache.expect(rests_on, accepted) or ()
            return cells

        eventually(expected)
        self.cache.put(key, entry(body), tuple(cells), ttl)

    def has(self, key, accepted=60.0):
        return self.cache.get(key, accepted) is not None


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def near(client, redis_url):
    made = []

    def make(url="", most=10_000, **more):
        made.append(Near(url or redis_url, most=most, **more))
        return made[-1]

    yield make
    for one in made:
        one.cache.close()


def test_what_redis_has_served_is_served_until_a_key_that_it_rests_on_changes(near, client):
    one = near().live()
    for change in (
        lambda: client.set(TAG, "new"),
        lambda: client.set(GUARD, "closed"),
        lambda: client.delete(TAG),
        lambda: client.set(TAG, "new", px=1),
    ):
        one.keep("a")
        one.keep("other", rests_on=[OTHER])
        assert one.has("a")
        change()
        eventually(lambda: not one.has("a"))
        assert one.has("other")


def test_what_changed_while_it_was_on_its_way_is_not_kept(near, client):
    one = near().live()
    cells = one.cache.expect([TAG], 60.0)
    client.set(TAG, "new")
    eventually(lambda: [TAG] in one.heard)
    one.cache.put("a", entry(), cells, 60.0)
    assert not one.has("a")
    one.keep("a")
    assert one.has("a")


def test_a_flush_empties_it(near, client):
    one = near().live()
    one.keep("a")
    client.flushdb()
    eventually(lambda: not one.has("a"))
    assert None in one.heard
    assert (len(one.cache), one.cache.size) == (0, 0)


def test_a_connection_that_breaks_takes_everything_along_and_is_made_anew(near, client):
    port = client.connection_pool.connection_kwargs["port"]
    with Proxy(port) as proxy:
        one = near(
            f"redis://127.0.0.1:{proxy.port}/{client.connection_pool.connection_kwargs['db']}"
        )
        one.live().keep("a")
        assert one.has("a")
        proxy.cut()
        eventually(lambda: "lost" in one.heard)
        assert not one.has("a")
        one.live().keep("a")
        assert one.has("a")


def test_a_connection_that_is_silent_serves_nothing_older_than_is_accepted(near, client):
    """Silence looks like peace: the tag changes, nobody hears of it, and nothing is closed."""
    port = client.connection_pool.connection_kwargs["port"]
    with Proxy(port) as proxy:
        one = near(
            f"redis://127.0.0.1:{proxy.port}/{client.connection_pool.connection_kwargs['db']}"
        )
        one.live(accepted=0.4).keep("a", accepted=0.4)
        proxy.swallow()
        swallowed = time.monotonic()
        client.set(TAG, "new")
        changed = time.monotonic()
        eventually(lambda: not one.has("a", accepted=0.4))
        # Confirmed at the latest when it fell silent, it was of no use 0.4 s after.
        assert one.tracking.confirmed_at <= changed
        assert swallowed > 0
        assert one.cache.expect([TAG], 0.4) is None
        assert one.has("a", accepted=600.0), "only its age keeps it from being served"
        proxy.heal()
        eventually(lambda: "lost" in one.heard)
        assert not one.has("a", accepted=600.0)
        one.live(accepted=0.4)


def test_a_connection_that_its_client_makes_anew_by_itself_is_trusted_no_more(near, client):
    """The interleaving that must not happen: a health check finds the connection dead, connects
    again and goes on; a tag changes, and the new connection, which nobody has asked to tell, only
    answers that all is well."""
    port = client.connection_pool.connection_kwargs["port"]
    with Proxy(port) as proxy:
        one = near(
            f"redis://127.0.0.1:{proxy.port}/{client.connection_pool.connection_kwargs['db']}",
            health_check_interval=0.5,
            retry=Retry(NoBackoff(), 1),
        )
        one.live().keep("a")
        proxy.swallow()
        # By then the health check waits for an answer.
        eventually(lambda: time.monotonic() - one.tracking.confirmed_at > 2)
        healed = time.monotonic()
        proxy.heal()
        client.set(TAG, "new")
        eventually(lambda: one.tracking.confirmed_at > healed)
        assert not one.has("a")
        one.live().keep("a")
        client.set(TAG, "newer")
        eventually(lambda: not one.has("a"))


def test_an_answer_confirms_nothing_that_changed_after_it_was_asked_for(near, client):
    """The interleaving that must not happen: the server answers that all was told, a tag changes,
    and only then this process gets to read the answer, and takes the moment at which it does so
    for the one up to which it was told all."""
    changed, told = [], []

    class HeldUp(redis.Connection):
        def read_response(self, *args, **kwargs):
            answer = super().read_response(*args, **kwargs)
            if answer == b"PONG" and is_ready and not changed:
                changed.append(time.monotonic())
                client.set(TAG, "new")
            return answer

    is_ready = False
    one = near(connection_class=HeldUp).live()
    one.tracking._changed = lambda keys: told.append(one.tracking.confirmed_at)
    is_ready = True
    eventually(lambda: told)
    assert told[0] <= changed[0]


def test_a_server_that_has_become_another_one_is_trusted_no_more(near, tmp_path, monkeypatch):
    """For a moment it was a replica: what its primary was told then may have come to others only.
    Connections stand all the while, so nothing else says that it happened."""
    monkeypatch.setattr(incarnation, "ASK_AGAIN_SECONDS", 0.0)
    with EmbeddedValkey(tmp_path) as server, redis.Redis.from_url(server.url) as direct:
        one = near(server.url)
        one.live().keep("a")
        direct.replicaof("127.0.0.1", "1")  # where nobody answers
        direct.replicaof("NO", "ONE")
        eventually(lambda: not one.has("a"))
        assert "lost" in one.heard
        one.live().keep("a")
        assert one.has("a")
        one.cache.close()


def test_nothing_is_kept_before_anybody_listens(near, client):
    one = near("redis://127.0.0.1:1/0")
    assert one.cache.expect([TAG], 60.0) is None
    assert one.cache.get("a", 60.0) is None
    eventually(lambda: "lost" in one.heard)
    assert one.cache.expect([TAG], 60.0) is None


def test_nothing_of_a_model_is_kept_before_its_changes_are_told(near, client):
    """The interleaving that must not happen: an entry of a second model is kept, a write outdates
    it, and nobody tells, since this process has asked to hear of the first one only."""
    one = near().live()
    second = "near:tag:second"
    assert one.cache.expect([TAG, second], 60.0) is None
    client.set(second, "before anybody was asked to tell")
    eventually(lambda: one.cache.expect([TAG, second], 60.0) is not None)
    assert [second] not in one.heard
    one.keep("a", rests_on=[TAG, second])
    assert one.has("a")
    client.set(second, "new")
    eventually(lambda: not one.has("a"))
    one.keep("a", rests_on=[TAG, second])
    client.set(TAG, "new")
    eventually(lambda: not one.has("a"))


def test_changes_of_other_models_wake_nobody(near, client):
    one = near().live()
    for number in range(20):
        client.set(f"near:tag:other:{number}", "new")
        client.set("near:guard:other", number)
        client.set("near:query:a", number)
    client.set(TAG, "new")
    eventually(lambda: [TAG] in one.heard)
    assert one.heard == [[TAG]]


def test_a_second_connection_tells_of_all_that_the_first_one_told(near, client):
    port = client.connection_pool.connection_kwargs["port"]
    with Proxy(port) as proxy:
        one = near(
            f"redis://127.0.0.1:{proxy.port}/{client.connection_pool.connection_kwargs['db']}"
        )
        one.live()
        proxy.cut()
        eventually(lambda: "lost" in one.heard)
        one.live()
        for key in (TAG, GUARD, OTHER):
            one.keep("a", rests_on=[TAG, GUARD, OTHER])
            assert one.has("a")
            client.set(key, "new")
            eventually(lambda: not one.has("a"))


def test_the_server_takes_what_stands_for_each_kind_of_key(near, client):
    keys = [
        "near:guard:shop.item@1f",
        "near:guard:shop.itemlabel@1f",
        "near:guard:#",
        "near:tag:shop.item@1f",
        "near:tag:shop.item@1f:*",
        "near:tag:shop.item@1f:pk=7",
        "near:tag:shop.itemlabel@1f:name=a:tag:b",
        "near:tag:#",
        "near:tag:#shop",
        "near:tag:#shop:5",
    ]
    one = near()
    eventually(lambda: one.cache.expect(keys, 60.0) is not None)
    for key in keys:
        one.keep("a", rests_on=keys)
        client.set(key, "new")
        eventually(lambda: not one.has("a"))
    assert "lost" not in one.heard


def test_it_holds_so_many_bytes_and_lets_go_of_what_is_not_used(near, client):
    most = 10 * (OVERHEAD + 2 * EACH + 100)
    one = near(most=most).live()
    for number in range(30):
        one.keep(str(number), body=b"x" * 100)
        assert one.has("0")
    assert len(one.cache) == 10
    assert one.cache.size == most
    assert one.has("29")
    one.keep("large", body=b"x" * 10_000)
    assert not one.has("large")
    assert len(one.cache) == 10


def test_what_is_kept_again_takes_the_place_of_what_was_kept(near, client):
    """Counted beside it, one entry that is read anew after each write would push all others out,
    and then itself."""
    size = OVERHEAD + 2 * EACH + 1
    one = near(most=3 * size).live()
    one.keep("other")
    for _ in range(20):
        one.keep("a")
        assert one.has("a")
        assert one.has("other")
    assert (len(one.cache), one.cache.size) == (2, 2 * size)
    one.keep("a", body=b"xx")
    assert one.cache.size == 2 * size + 1


@pytest.mark.parametrize("rests_on", [3, 34])
def test_so_many_bytes_are_what_it_takes(rests_on):
    """What an entry rests on counts too: 32 keys of rows, which each has for itself, weigh more
    than a small answer."""
    tracking = Tracking(lambda: None, changed=len, lost=len)
    tracking.start = tracking.stop = lambda: None
    cache = NearCache(lambda *_: tracking, most=lambda: 1_000_000)
    model = "cp:tag:shop.product@3f2a1b2c"
    cache.expect([GUARD, model], 60.0)
    tracking.confirmed_at, tracking.heard = time.monotonic(), frozenset({GUARD, model})
    tracemalloc.start()
    try:
        for number in range(2000):
            keys = [GUARD, model, *(f"{model}:pk={number * 100 + n}" for n in range(rests_on - 2))]
            stamps = [os.urandom(12) for _ in keys[1:]]
            kept = Entry(2, stamps, 0, 0, 60, 1, "i", 0, os.urandom(100))
            cache.put(f"cp:q:shop.product:{number:064}", kept, cache.expect(keys, 60.0), 60.0)
        took, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < cache.size <= 1_000_000
    assert took < 1.3 * 1_000_000


def test_an_entry_is_not_served_beyond_its_own_ttl(client):
    now = [100.0]
    tracking = Tracking(lambda: None, changed=len, lost=len)
    tracking.confirmed_at, tracking.heard = 100.0, frozenset({TAG})
    tracking.start = tracking.stop = lambda: None
    cache = NearCache(lambda *_: tracking, most=lambda: 10_000, clock=lambda: now[0])
    cache.put("a", entry(), cache.expect([TAG], 1.0), ttl=5.0)
    now[0] = tracking.confirmed_at = 104.9
    assert cache.get("a", 1.0) is not None
    now[0] = 105.9
    assert cache.get("a", 1.0) is None, "nobody confirmed it for a second"
    tracking.confirmed_at = 105.9
    assert cache.get("a", 1.0) is None, "its TTL is over"


def test_a_child_of_a_fork_knows_nothing_and_listens_for_itself(near, client):
    one = near().live()
    one.keep("a")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if not one.has("a"):
                one.live().keep("b")
                code = 0 if one.has("b") else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert one.has("a")


def test_closing_ends_the_thread_and_the_next_question_starts_another(near, client):
    one = near().live()
    one.keep("a")
    thread = one.tracking._thread  # others of this name may serve other tests' stores
    assert thread in threading.enumerate()
    one.cache.close()
    assert thread not in threading.enumerate()
    assert not one.has("a")
    one.live().keep("a")
    assert one.has("a")


def test_a_backend_that_can_not_tell_of_changes_keeps_nothing(settings):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "n"}
    }
    store = Store(make_backend("default"))
    assert store.near.expect([TAG], 60.0) is None
    assert not store.near.is_used
