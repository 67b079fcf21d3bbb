"""What was heard is told when the line is back, one after the other.

What must not happen: who is told asks something in turn, hears of the next line's answers, whose
sender asks something in turn, and so on; or raises, and an answer stays on a line whose next user
takes it for his.
"""

import json
import os
import signal
import socket
import time

import pytest
import redis

from cachepatterns.backends.awaited import leave_unheard
from cachepatterns.backends.errors import RedisError
from cachepatterns.backends.lines import Lines
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store, current_store
from cachepatterns.conf import config
from cachepatterns.core.key import guard_key
from cachepatterns.write.fence import Fence
from shop.servers import EmbeddedValkey
from tests.backends.conftest import GUARD
from tests.events import eventually

pytestmark = pytest.mark.usefixtures("never_by_itself")

LINES = 120


@pytest.fixture
def backend(empty_cache):
    return RedisBackend("default")


def echo(word):
    return lambda run: (("ECHO", word),)


@pytest.fixture
def crowd(stopped):
    """As many threads' releases, each over a line of its own; their answers are not heard yet."""
    backend, server = stopped
    options = backend._client().connection_pool.connection_kwargs
    lines = backend._lines = Lines(redis.ConnectionPool(max_connections=4 * LINES, **options))
    store = Store(backend)
    names = [(f"w{n}", f"test:guard:m{n}@d", f"test:tag:m{n}@d:*") for n in range(LINES)]
    backend.tend([guard for _, guard, _ in names], life=60.0, no_writers=True)
    for token, guard, tag in names:
        store.fence(token, {guard: [tag]})
    asked = [lines.ask(lambda run: ("PING",)) for _ in names]
    held = [each._connection for each in asked]
    for each in asked:
        each.answer()

    def release():
        lines._idle.clear()
        for connection, (token, guard, tag) in zip(held, names, strict=True):
            lines._idle.append(connection)
            store.release(token, [guard], [tag])
            assert lines._idle.pop() is connection
        lines._idle.extend(held)

    yield backend, store, release, [guard for _, guard, _ in names], server
    for connection in held:
        connection.disconnect()


def test_many_refusals_are_made_up_for_one_after_the_other(crowd):
    """The server has forgotten its scripts: each release is sent again, over a line on which
    another one's refusal waits."""
    backend, store, release, guards, _ = crowd
    backend._client().script_flush()
    release()
    store.settle()
    assert all(backend.read(guards, []).is_open)
    assert store.undelivered == 0


def test_many_that_were_cut_off_wait_for_the_server_once(crowd, settings):
    backend, store, release, _, server = crowd
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "BREAKER_SECONDS": 3600}
    os.kill(server.pid, signal.SIGSTOP)
    release()
    for connection in backend.lines._idle:
        connection._sock.shutdown(socket.SHUT_RDWR)
    tried = []
    backend.release = lambda *args, **kwargs: tried.append(args) or lost()
    store.settle()
    assert len(tried) == 1
    assert store.undelivered == LINES


def lost():
    raise RedisError(redis.TimeoutError("no answer"))


def test_who_is_told_may_take_the_last_connection(stopped):
    backend, _ = stopped
    options = backend._client().connection_pool.connection_kwargs
    backend._lines = Lines(redis.BlockingConnectionPool(max_connections=1, timeout=20, **options))
    store = Store(backend)
    store.fence("w", {GUARD: ["test:tag:a@d:*"]})
    backend.lines.call(lambda run: ("SCRIPT", "FLUSH"))
    began = time.monotonic()
    store.release("w", [GUARD], ["test:tag:a@d:*"])
    assert (store.undelivered, store.is_open) == (0, False)
    assert time.monotonic() - began < 20, "it has waited for the connection that it held"


def test_who_raises_when_he_is_told_leaves_no_answer_behind(backend):
    def raises(error):
        raise RuntimeError("of whoever was told")

    backend.lines.send(echo("sent"), raises)
    asked = backend.lines.ask(lambda run: ("ECHO", "dropped"))
    del asked
    with pytest.raises(RuntimeError):
        backend.lines.hear_all()
    assert backend.lines.call(lambda run: ("ECHO", "mine"))[0] == b"mine"


def test_a_line_that_was_disconnected_by_another_thread_owes_no_answers(backend):
    """As `DJANGO_REDIS_CLOSE_CONNECTION` does at the end of a request: the client connects again
    while it sends."""
    heard, pool = [], backend._client().connection_pool
    backend.lines.call(lambda run: ("PING",))
    leave_unheard(backend.lines._idle[-1], 1, heard.append)

    def words(run):
        if not heard:
            pool.disconnect()
        return ("ECHO", "mine")

    assert backend.lines.call(words)[0] == b"mine"
    assert [type(error) for error in heard] == [redis.ConnectionError]


def test_a_child_leaves_its_parents_answer_alone(backend):
    backend._client().set("test:key", b"value")
    asked = backend.lines.ask(lambda run: ("GET", "test:key"))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if asked.answer() == b"value" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asked.answer() == b"value"


def test_without_waiting_only_what_has_come_is_heard(stopped):
    """Who renews registrations must not be held up by a line that hangs."""
    backend, server = stopped
    heard = []
    os.kill(server.pid, signal.SIGSTOP)
    backend.lines.send(echo("sent"), heard.append)
    backend.settle(wait=False)
    before = list(heard)
    os.kill(server.pid, signal.SIGCONT)
    while not heard:
        backend.settle(wait=False)
    assert (before, heard) == ([], [None])


def test_what_can_not_come_any_more_is_heard_without_waiting(backend):
    heard = []
    backend.lines.send(echo("sent"), heard.append)
    backend.lines._idle[-1]._sock.shutdown(socket.SHUT_RDWR)
    while not heard:
        backend.settle(wait=False)
    backend.settle(wait=False)
    assert len(heard) == 1


def test_a_line_that_hangs_keeps_no_registration_from_being_renewed(tmp_path, settings):
    """Its writer is alive; were it to expire, a reader might store what the COMMIT outdates."""
    with EmbeddedValkey(tmp_path) as server:
        default = settings.CACHES["default"]
        options = {"SOCKET_CONNECT_TIMEOUT": 60, "SOCKET_TIMEOUT": 60}
        default = {**default, "LOCATION": server.url, "OPTIONS": options}
        settings.CACHES = {**settings.CACHES, "default": default}
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 0.5}
        backend = current_store().backend
        lines, name = backend.lines, "app.item@default"
        guard = guard_key(config().PREFIX, name)
        backend.tend([guard], life=60.0, no_writers=True)
        one, two = (lines.ask(lambda run: ("PING",)) for _ in range(2))
        one.answer(), two.answer()
        fence = Fence()
        fence.add([f"{name}:*"])
        healthy = lines._idle.pop()
        lines.send(lambda run: (("CLIENT", "REPLY", "OFF"),), lambda error: None)
        lines._idle.append(healthy)

        def deadline():
            return json.loads(backend.get_many([guard])[0])["f"][fence.token][0]

        first = deadline()
        eventually(lambda: deadline() > first + 1500)
        fence.release([f"{name}:*"])
        assert backend.read([guard], []).is_open == [True]
        lines._idle.clear()  # nobody waits a minute for the one that hangs
