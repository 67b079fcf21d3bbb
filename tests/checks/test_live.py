"""What the servers themselves say, under `check --deploy`: asked of real ones."""

import os
import signal

import pytest
import redis
from django.core.checks import run_checks
from django.db import connection

from cachepatterns.observe import ReadEvent
from cachepatterns.stats.recorder import Recorder
from shop.servers import EmbeddedValkey
from tests.events import eventually

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"])


def found(check_id=None):
    messages = run_checks(tags=["cachepatterns"], include_deployment_checks=True)
    if check_id is None:
        return [message.id.partition(".")[2] for message in messages]
    return [m for m in messages if m.id == f"cachepatterns.{check_id}"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """A primary, whose settings the tests change, and its replica."""
    with (
        EmbeddedValkey(tmp_path_factory.mktemp("primary"), maxmemory="16mb") as primary,
        EmbeddedValkey(
            tmp_path_factory.mktemp("replica"),
            options=("--replicaof", "127.0.0.1", str(primary.port)),
        ) as replica,
    ):
        yield primary, replica


@pytest.fixture
def server(servers, alias, settings):
    """A client of the primary, which the alias names; its settings are put back."""
    primary, _ = servers
    alias(LOCATION=primary.url)
    # Else this process would sample the server's evictions, each minute.
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "STATS": False}
    with redis.Redis.from_url(primary.url) as client:
        before = client.config_get("max*")
        yield client
        client.flushall()
        client.config_resetstat()
        for name in ("maxmemory", "maxmemory-policy", "maxclients"):
            client.config_set(name, before[name])


def test_a_server_in_order_is_not_spoken_of(server):
    assert [i for i in found() if i[1:3] == "02"] == []


def test_nothing_of_this_is_asked_in_an_ordinary_check(alias):
    alias(LOCATION="redis://127.0.0.1:1/0")
    assert not [m for m in run_checks(tags=["cachepatterns"]) if m.id.endswith("E025")]


def test_e025_a_server_that_does_not_answer(alias):
    alias(LOCATION="redis://127.0.0.1:1/0")
    (message,) = found("E025")
    assert "LOCATION" in message.hint


def test_w021_a_server_that_does_not_evict(server):
    server.config_set("maxmemory-policy", "noeviction")
    assert "volatile-lru" in found("W021")[0].hint


def test_w022_a_server_without_a_limit(server):
    server.config_set("maxmemory", 0)
    server.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory" in found("W022")[0].hint
    assert found("W021") == []  # one thing at a time


def test_w023_and_w024_a_server_that_is_full_and_evicts(server):
    server.config_set("maxmemory-policy", "allkeys-lru")
    for number in range(40):
        server.set(f"big:{number}", b"x" * 500_000)
    assert {"W023", "W024"} <= set(found())
    server.config_resetstat()
    assert found("W024") == []


def test_w025_a_server_with_hardly_a_place_left(server, servers):
    # So many, and so many places left, that it is all the same whether those of a test before this
    # one leave just now, or who tells of the server's state comes.
    others = [redis.Redis.from_url(servers[0].url) for _ in range(200)]
    for other in others:
        other.ping()
    server.config_set("maxclients", server.info("clients")["connected_clients"] + 10)
    assert "max_connections" in found("W025")[0].hint
    for other in others:
        other.close()


def test_w026_a_replica_that_lags(server, servers):
    _, replica = servers
    eventually(lambda: server.info("replication").get("slave0", {}).get("state") == "online")
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        eventually(lambda: found("W026"))
    finally:
        os.kill(replica.pid, signal.SIGCONT)
    eventually(lambda: not found("W026"))


def test_i021_a_server_that_may_not_be_asked(server, servers, alias):
    server.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info")
    alias(LOCATION=f"redis://app:pw@127.0.0.1:{servers[0].port}/0")
    (message,) = found("I021")
    assert "+info" in message.hint
    assert [i for i in found() if i[1:3] == "02"] == ["I021"]


@pytest.mark.parametrize(
    ("timeout", "warned"), [("0", True), ("5s", True), ("4s", False), ("1min", True)]
)
def test_w032_transactions_that_outlive_their_registration(server, timeout, warned):
    with connection.cursor() as cursor:
        cursor.execute(f"SET transaction_timeout = '{timeout}'")
        messages = found("W032")
        cursor.execute("RESET transaction_timeout")
    assert bool(messages) is warned
    if warned:
        assert "-c transaction_timeout=4000ms" in messages[0].hint
        assert "ALTER ROLE" in messages[0].hint


def test_w032_the_remedy_that_is_named_is_one(server, settings):
    (message,) = found("W032")
    options = message.hint.partition("= '")[2].partition("'")[0]
    copy = connection.copy("copy")
    copy.settings_dict["OPTIONS"] = {**copy.settings_dict["OPTIONS"], "options": options}
    try:
        with copy.cursor() as cursor:
            cursor.execute("SHOW transaction_timeout")
            assert cursor.fetchone() == ("4s",)
    finally:
        copy.close()


def test_i031_databases_that_know_no_such_limit(server, policy):
    policy(databases=["sqlite"])
    assert len(found("I031")) == 1
    policy(consistency="eventual")
    assert found("I031") == []


@pytest.mark.django_db(transaction=True)
def test_e030_a_database_that_does_not_answer(server, monkeypatch):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    assert "DATABASES['default']" in found("E030")[0].hint


def test_w027_a_model_that_the_cache_probably_hurts(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "PREFIX": f"check-{os.getpid()}"}
    assert found("W027") == []
    recorder = Recorder(background=False)
    for outcome, times in (("hit", 60), ("miss", 240)):
        for _ in range(times):
            recorder(ReadEvent("app.item", "list", outcome, 0.001, 0.004))
    recorder.flush()
    (message,) = found("W027")
    assert "app.item: probably hurting" in message.msg
    assert message.hint


def test_w013_no_prefix_of_one_s_own_is_told_before_a_deployment(settings):
    assert found("W013") == []
    settings.CACHEPATTERNS = {"STATS": False}
    assert "PREFIX" in found("W013")[0].hint
    assert not [m for m in run_checks(tags=["cachepatterns"]) if m.id.endswith("W013")]


def test_w017_several_workers_and_nothing_that_adds_them_up(monkeypatch, settings):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    assert "PROMETHEUS_MULTIPROC_DIR" in found("W017")[0].hint
    assert not [m for m in run_checks(tags=["cachepatterns"]) if m.id.endswith("W017")]
    settings.PROMETHEUS_METRICS_EXPORT_PORT_RANGE = range(8001, 8050)
    assert found("W017") == []
