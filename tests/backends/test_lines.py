"""Connections are held between commands: what closes them costs nobody an answer."""

import os
import threading

import pytest
import redis

from cachepatterns.backends.lines import Lines
from cachepatterns.backends.redis import RedisBackend
from shop.servers import EmbeddedValkey

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


def test_a_line_that_was_closed_while_idle_is_opened_again(backend, client):
    held = connection_id(backend)
    client.set(KEY, b"value")
    client.client_kill_filter(_id=held)
    assert backend.read([GUARD], [KEY]).values == [b"value"]
    assert connection_id(backend) != held


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
    connection = backend.lines._idle[0]
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
