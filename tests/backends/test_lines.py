"""Connections are held between commands: what closes them costs nobody an answer."""

import os
import signal
import socket
import threading

import pytest
import redis

from cachepatterns.backends.awaited import leave_unheard
from cachepatterns.backends.lines import Lines
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import Store
from cachepatterns.exceptions import BackendError
from shop.servers import EmbeddedValkey
from tests.impatience import impatient

pytestmark = pytest.mark.usefixtures("never_by_itself")

GUARD, KEY = "test:guard:a@d", "test:row"


@pytest.fixture
def backend(empty_cache):
    return RedisBackend("default")


@pytest.fixture
def client(backend):
    return backend._client()


def connection_id(backend):
    return backend.lines.call(lambda run: ("CLIENT", "ID"))[0]


def test_one_line_carries_one_thread_s_commands(backend):
    assert connection_id(backend) == connection_id(backend)


def test_all_backends_of_a_pool_hold_the_same_lines(backend, client):
    """Else each would hold a quarter of it, and keep that when it goes."""
    ids = {connection_id(RedisBackend("default")) for _ in range(50)}
    assert ids == {connection_id(backend)}
    assert (
        len(client.connection_pool._in_use_connections)
        <= client.connection_pool.max_connections / 4
    )


def test_a_line_that_was_closed_while_idle_is_opened_again(backend, client):
    held = connection_id(backend)
    client.set(KEY, b"value")
    client.client_kill_filter(_id=held)
    assert backend.read([GUARD], [KEY]).values == [b"value"]
    assert connection_id(backend) != held


def test_what_is_asked_is_answered_later_over_a_line_of_its_own(backend, client):
    client.set(KEY, b"value")
    asked = backend.lines.ask(lambda run: ("GET", KEY))
    assert backend.lines.call(lambda run: ("GET", "nothing"))[0] is None
    assert asked.answer() == b"value"


def test_what_was_asked_over_a_line_that_is_closed_is_asked_once_more(backend, client):
    held = connection_id(backend)
    client.set(KEY, b"value")
    # Answered when the connection is closed already.
    commands = iter([("BLPOP", "nothing", 60), ("GET", KEY)])
    asked = backend.lines.ask(lambda run: next(commands))
    client.client_kill_filter(_id=held)
    assert asked.answer() == b"value"
    assert connection_id(backend) != held


def test_an_answer_that_nobody_wants_is_taken_for_nobody_else_s(backend, client):
    client.set(KEY, b"value")
    held = connection_id(backend)
    asked = backend.lines.ask(lambda run: ("GET", KEY))
    del asked
    assert backend.lines.call(lambda run: ("GET", "nothing"))[0] is None
    assert connection_id(backend) == held


def test_what_was_asked_before_a_fork_and_dropped_after_it_is_the_parent_s(backend, client):
    client.set(KEY, b"value")
    asked = backend.lines.ask(lambda run: ("GET", KEY))
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            asked = None
            said = backend.lines.call(lambda run: ("ECHO", "child"))[0]
        finally:
            os.write(writable, said)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(readable, 10) == b"child"
    os.close(readable)
    os.close(writable)
    assert asked.answer() == b"value"


def test_a_script_that_the_server_has_forgotten_is_sent_again_when_its_answer_is_heard(
    backend, client
):
    client.script_flush()
    backend.tend([GUARD], life=5.0, no_writers=True)
    client.script_flush()
    backend.fence_ahead("w", {GUARD: [KEY]}, life=5.0)()
    assert backend.read([GUARD], []).is_open == [False] or b"w" in client.get(GUARD)


def test_a_line_that_is_opened_again_asks_anew_whose_it_is(tmp_path, settings):
    """The first command already: a guard of before a failover vouches for nothing."""
    with EmbeddedValkey(tmp_path) as server:
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": server.url},
        }
        backend = RedisBackend("default")
        backend.tend([GUARD], life=5.0, no_writers=True)
        assert backend.read([GUARD], []).is_open == [True]
        with redis.Redis.from_url(server.url) as direct:
            direct.replicaof("127.0.0.1", "1")
            direct.replicaof("NO", "ONE")  # promoted: another incarnation
            direct.client_kill_filter(_type="normal", skipme=True)
        assert backend.read([GUARD], []).is_open == [False]


def test_what_two_threads_ask_goes_over_two_lines(backend, client):
    both, answers = threading.Barrier(2), {}

    def ask(number):
        def words(run):
            both.wait(10)  # both hold a line now
            return ("ECHO", number)

        answers[number] = backend.lines.call(words)[0]

    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == {1: b"1", 2: b"2"}


def test_an_interrupt_leaves_no_answer_to_the_next_question(backend):
    backend.read([GUARD], [KEY])
    connection = backend.lines._idle[-1]
    read_response, connection.read_response = connection.read_response, interrupted
    with pytest.raises(KeyboardInterrupt):
        backend.lines.call(lambda run: ("ECHO", "of the interrupted"))
    connection.read_response = read_response
    assert backend.lines.call(lambda run: ("ECHO", "mine"))[0] == b"mine"


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


def test_a_bounded_pool_gets_its_connections_back(client):
    pool = redis.ConnectionPool(max_connections=1, **client.connection_pool.connection_kwargs)
    lines = Lines(pool)
    lines.call(lambda run: ("PING",))
    with redis.Redis(connection_pool=pool) as other:
        assert other.ping()


def test_a_child_process_opens_lines_of_its_own(backend):
    backend.read([GUARD], [KEY])
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"shared"
        try:
            if not backend.lines._idle and backend.lines.call(lambda r: ("ECHO", "c"))[0] == b"c":
                said = b"own"
        finally:
            os.write(writable, said)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(readable, 10) == b"own"
    os.close(readable)
    os.close(writable)
    assert backend.lines.call(lambda run: ("ECHO", "parent"))[0] == b"parent"


# -- answers that nobody waits for ------------------------------------------------------------


class Heard(list):
    """What was said of commands that were sent: one item for each call of `send`."""

    def __call__(self, error):
        self.append(error)


def echo(word):
    return lambda run: (("ECHO", word),)


def test_what_is_sent_is_carried_out_before_what_is_asked_next(backend):
    heard = Heard()
    backend.lines.send(lambda run: (("SET", KEY, "1"), ("INCR", KEY)), heard)
    assert heard == []
    assert backend.lines.call(lambda run: ("GET", KEY))[0] == b"2"
    assert heard == [None]


def test_what_is_asked_is_on_its_way_before_older_answers_are_heard(backend):
    heard, before = Heard(), []

    def words(run):
        before.append(list(heard))
        return ("ECHO", "asked")

    backend.lines.send(echo("sent"), heard)
    assert backend.lines.call(words)[0] == b"asked"
    backend.lines.send(echo("sent again"), heard)
    assert backend.lines.ask(words).answer() == b"asked"
    assert (before, heard) == ([[], [None]], [None, None])


@pytest.mark.parametrize("ask", ["call", "ask"])
def test_a_line_that_was_closed_with_answers_to_come_tells_of_them_and_asks_anew(
    backend, client, ask
):
    heard = Heard()
    backend.lines.send(echo("sent"), heard)
    backend.lines._idle[-1]._sock.shutdown(socket.SHUT_RDWR)
    found = getattr(backend.lines, ask)(lambda run: ("ECHO", "asked"))
    assert (found[0] if ask == "call" else found.answer()) == b"asked"
    assert [type(error) for error in heard] == [redis.ConnectionError]


@pytest.mark.parametrize("ask", ["call", "ask"])
@pytest.mark.parametrize("first", ["incarnation", "health", "connection"])
def test_what_comes_before_a_command_is_not_answered_by_older_answers(
    backend, monkeypatch, ask, first
):
    """EVALSHA, not heard · INFO, or PING: it would be answered by the script."""
    heard = Heard()
    backend.lines.send(echo("sent"), heard)
    connection = backend.lines._idle[-1]
    if first == "incarnation":
        connection._cachepatterns._asked_at = -1e9
    elif first == "health":
        monkeypatch.setattr(connection, "health_check_interval", 1)
        connection.next_health_check = 0
    else:
        connection.disconnect()
    found = getattr(backend.lines, ask)(lambda run: ("ECHO", run))
    run = backend.lines.call(lambda run: ("PING",))[1]
    assert (found[0] if ask == "call" else found.answer()).decode() == run
    assert len(heard) == 1


def test_a_dropped_question_tells_nobody_anything_where_it_is_dropped(backend):
    """Memory is collected under anybody's lock: what hears of a failure may want the same one."""
    heard, later = Heard(), Heard()
    backend.lines.send(echo("sent"), heard)
    asked = backend.lines.ask(lambda run: ("HGET", "refused"))
    del asked
    assert heard == []
    backend.lines.send(echo("sent again"), later)
    assert backend.lines.call(lambda run: ("ECHO", "mine"))[0] == b"mine"
    assert (heard, later) == ([None], [None])  # that it was refused is told to nobody


def test_the_answers_to_dropped_questions_do_not_pile_up(backend):
    """Nobody hears of them where each transaction is refused, and dropped with its question."""
    for _ in range(50):
        asked = backend.lines.ask(lambda run: ("ECHO", "dropped"))
        del asked
    assert len(backend.lines._idle[-1]._cachepatterns_unheard) <= 2
    assert backend.lines.call(lambda run: ("ECHO", "mine"))[0] == b"mine"


def test_all_who_have_sent_are_told_of_a_line_that_is_closed(backend):
    first, later = Heard(), Heard()
    backend.lines.send(echo("sent"), first)
    connection = backend.lines._idle[-1]
    leave_unheard(connection, 1, later)
    connection._sock.shutdown(socket.SHUT_RDWR)
    assert backend.lines.call(lambda run: ("ECHO", "asked"))[0] == b"asked"
    assert isinstance(first[0] or later[0], redis.ConnectionError)
    assert isinstance(later[0], redis.ConnectionError)


def test_the_first_command_that_is_refused_is_told_and_the_others_are_carried_out(backend):
    heard = Heard()
    backend.lines.send(lambda run: (("INCR", KEY, "x"), ("SET", KEY, "1"), ("HGET", KEY)), heard)
    assert backend.lines.call(lambda run: ("GET", KEY))[0] == b"1"
    assert "incr" in str(heard[0])


def test_what_was_sent_is_heard_of_though_nothing_more_is_asked(backend):
    heard = Heard()
    backend.lines.send(echo("a"), heard)
    backend.settle()
    backend.settle()
    assert heard == [None]


def test_a_bounded_pool_gets_no_connection_back_with_answers_to_come(client):
    pool = redis.ConnectionPool(max_connections=1, **client.connection_pool.connection_kwargs)
    heard = Heard()
    Lines(pool).send(echo("ours"), heard)
    assert heard == [None]
    with redis.Redis(connection_pool=pool) as other:
        assert other.echo("theirs") == b"theirs"


def test_an_interrupt_while_answers_are_heard_leaves_none_to_the_next_question(backend):
    heard = Heard()
    backend.lines.send(echo("of the interrupted"), heard)
    connection = backend.lines._idle[-1]
    read_response, connection.read_response = connection.read_response, interrupted
    with pytest.raises(KeyboardInterrupt):
        backend.lines.call(lambda run: ("ECHO", "never sent"))
    connection.read_response = read_response
    assert isinstance(heard[0], redis.ConnectionError)
    assert backend.lines.call(lambda run: ("ECHO", "mine"))[0] == b"mine"


def test_a_release_is_on_its_way_when_the_writer_goes_on(stopped):
    """COMMIT · the writer returns · a reader looks: until it is carried out, the guard is shut."""
    backend, server = stopped
    heard = Heard()
    backend.fence("token", {GUARD: ["*", "test:tag:a@d"]}, life=60.0)
    os.kill(server.pid, signal.SIGSTOP)
    backend.release("token", [GUARD], [], life=60.0, heard=heard)
    assert heard == []
    os.kill(server.pid, signal.SIGCONT)
    assert backend.read([GUARD], []).is_open == [True]
    assert heard == [None]


def test_who_waits_in_vain_for_what_was_sent_does_not_wait_again(stopped):
    backend, server = stopped
    heard = Heard()
    os.kill(server.pid, signal.SIGSTOP)
    backend.release("token", [GUARD], [], life=60.0, heard=heard)
    with impatient(backend), pytest.raises(BackendError, match="timeout"):
        backend.read([GUARD], [])
    assert [error.kind for error in heard] == ["timeout"]


def test_a_release_that_may_not_have_arrived_is_made_once_more(stopped):
    """The connection ends before it has answered: the bump must not depend on it."""
    backend, _server = stopped
    store = Store(backend)
    store.fence("token", {GUARD: ["test:tag:a@d:*"]})
    lost = backend.lines._idle[-1]
    backend.lines.send = lambda words, heard: lost_on_its_way(lost, heard)
    assert store.release("token", [GUARD], ["test:tag:a@d:*"])
    del backend.lines.send
    assert b"token" in backend.get_many([GUARD])[0]
    store.settle()
    assert backend.get_many([GUARD])[0].startswith(b"o")


def lost_on_its_way(connection, heard):
    """As if the server had died with the command in its buffer."""
    leave_unheard(connection, 1, heard)
    connection._sock.shutdown(socket.SHUT_RDWR)


def test_a_release_whose_script_was_forgotten_is_made_once_more(stopped):
    backend, _server = stopped
    store = Store(backend)
    store.fence("token", {GUARD: ["test:tag:a@d:*"]})
    backend.lines.call(lambda run: ("SCRIPT", "FLUSH"))
    store.release("token", [GUARD], ["test:tag:a@d:*"])
    store.settle()
    assert backend.get_many([GUARD])[0].startswith(b"o")


def test_a_release_that_times_out_is_owed(stopped, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "BREAKER_SECONDS": 3600}
    backend, server = stopped
    store = Store(backend)
    store.fence("token", {GUARD: ["test:tag:a@d:*"]})
    os.kill(server.pid, signal.SIGSTOP)
    store.release("token", [GUARD], ["test:tag:a@d:*"])
    with impatient(backend):
        store.settle()
    assert (store.undelivered, store.is_open) == (1, True)


def test_a_release_is_waited_for_where_the_registration_may_not_stand(stopped):
    backend, server = stopped
    store = Store(backend)
    os.kill(server.pid, signal.SIGSTOP)
    with impatient(backend):
        assert not store.release("token", [GUARD], ["test:tag:a@d:*"], wait=True)
    assert store.undelivered == 1


def test_after_a_store_that_failed_the_next_is_waited_for(stopped):
    backend, _server = stopped
    store, item = Store(backend), [("test:row", b"x", 60.0)]
    backend.lines.call(lambda run: ("CONFIG", "SET", "maxmemory", "1"))
    store.store(item, [], 60.0)
    store.settle()
    with pytest.raises(BackendError, match="oom"):
        store.store(item, [], 60.0)
    backend.lines.call(lambda run: ("CONFIG", "SET", "maxmemory", "0"))
    store.store(item, [], 60.0)
    store.store(item, [], 60.0)
    assert backend.get_many(["test:row"]) == [b"x"]
