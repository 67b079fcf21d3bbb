"""Reads from a real streaming replica: what it does not show yet is never kept.

Entries and tags are the primary's. The replica of these tests lags when it is told to.
"""

import random
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from cachepatterns import invalidate
from cachepatterns.backends.store import current_store
from cachepatterns.checks.replicas import check_undeclared_replicas
from cachepatterns.read import loading, primary, replay
from cachepatterns.registry import site
from tests.aliases import added, create_tables, led_elsewhere
from tests.app.models import Category, Item
from tests.calm import nobody_writes
from tests.events import eventually, outcome_of, seen
from tests.integration.threads import Gate, running
from tests.replication import Primary, StreamingReplica, ask

BOTH = ("default", "replica")


@pytest.fixture(scope="module")
def servers():
    """A primary with the tables of the tests, and its replica."""
    # Not below pytest's folders, through which the servers' user could not pass.
    with (
        tempfile.TemporaryDirectory(prefix="cachepatterns-replication-") as folder,
        Primary(Path(folder) / "primary") as main,
        StreamingReplica(Path(folder) / "replica", main) as replica,
    ):
        yield main, replica


@pytest.fixture(scope="module")
def tables(servers, django_db_blocker):
    with django_db_blocker.unblock(), led_elsewhere("default", **place(servers[0])):
        create_tables(connections["default"])


def place(server):
    """Where Django finds a server."""
    return {
        "HOST": "127.0.0.1",
        "PORT": server.port,
        "NAME": "postgres",
        "USER": "postgres",
        "PASSWORD": server.password,
    }


@pytest.fixture
def replica(servers, tables, settings, monkeypatch, empty_cache, django_db_blocker):
    """Item 1 costs 0 on the primary (`default`) and on its replica (`replica`)."""
    main, replica = servers
    monkeypatch.setattr(primary, "ASK_SECONDS", 20)  # a busy machine is no primary that hangs
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REPLICAS": {"replica": "default"}}
    with (
        django_db_blocker.unblock(),
        led_elsewhere("default", **place(main)),
        added("replica", **place(replica)),
    ):
        ask(main, "TRUNCATE app_category, app_item CASCADE")
        category = Category.objects.create(pk=1, name="a", slug="a")
        Item.objects.create(pk=1, name="item", sku="s", category=category, price=0)
        replica.catch_up()
        nobody_writes()
        yield replica
        replica.let_go()
        primary.close_all()


def write(price):
    Item.objects.filter(pk=1).update(price=price)


READS = {
    "row": lambda using: Item.objects.using(using).get(pk=1).price,
    "rows": lambda using: Item.objects.using(using).in_bulk([1])[1].price,
    "list": lambda using: Item.objects.using(using).filter(category=1)[0].price,
    "sum": lambda using: Item.objects.using(using).values_list("price", flat=True).get(sku="s"),
}
row = READS["row"]


@pytest.fixture(params=READS)
def price(request):
    """A way to read the price of item 1."""
    return READS[request.param]


def reason_of(read):
    with seen() as found:
        read()
    return found.reasons[0]


def kept(using="replica"):
    """Reads until it is stored: a checkpoint or the like may have come between."""
    eventually(lambda: reason_of(lambda: row(using)) == "")


# -- the interleavings that must not happen -----------------------------------------------


def test_the_old_value_of_a_replica_that_lags_is_served_by_it_and_never_kept(replica, price):
    """Write 9 · the replica reads 0 · the primary, and whoever reads then, must see 9."""
    with replica.delayed():
        write(9)
        with seen() as found:
            assert price("replica") == 0
        assert (found.outcomes, found.reasons) == (["miss"], ["replica behind"])
        assert price("default") == 9
        assert outcome_of(lambda: price("replica")) == "hit"
        assert price("replica") == 9


@contextmanager
def written_before_stamps_are_minted(value):
    """The next reader that mints finds that a writer has just committed, and is done."""
    store = current_store()
    mint = store.mint

    def late(*args):
        store.mint = mint
        write(value)
        return mint(*args)

    store.mint = late
    try:
        yield
    finally:
        store.mint = mint


def test_the_primarys_position_is_asked_when_the_stamps_are_held(replica, price):
    """Reader looks up · write 9, bump · reader mints, reads 0 of the replica, keeps it not."""
    replica.hold()
    with written_before_stamps_are_minted(9):
        assert price("replica") == 0
    assert price("default") == 9


def test_a_position_asked_before_the_stamps_would_let_an_old_value_in(replica, monkeypatch):
    """The same with the two in the wrong order: the test before must be able to fail."""
    early = primary.position_of(connections["default"])
    eventually(lambda: replica.ask(f"SELECT pg_last_wal_replay_lsn() >= '{early.lsn}'"))
    replica.hold()
    monkeypatch.setattr(replay, "position_of", lambda connection: early)
    with written_before_stamps_are_minted(9):
        assert row("replica") == 0
    assert row("default") == 0


def test_nobody_is_handed_the_load_of_a_replica_that_lags(replica, monkeypatch):
    """A, at the replica, is about to load · B, at the primary, holds the same stamps and waits
    for A · A loads 0."""
    write(9)
    replica.catch_up()
    replica.hold()
    write(8)
    gate, original = Gate(), loading.why_not_keep

    def held(connection):
        if connection.alias == "replica":
            gate.wait()
        return original(connection)

    monkeypatch.setattr(loading, "why_not_keep", held)
    with running(lambda: row("replica")) as old:
        assert gate.reached.wait(20)
        with running(lambda: row("default")) as new:
            gate.open.set()
            assert (old(), new()) == (9, 8)


def test_whatever_the_replica_does_the_primarys_readers_see_what_is_committed(replica):
    chance, price = random.Random(7), 0
    for _ in range(150):
        step = chance.random()
        if step < 0.05:
            replica.hold()
        elif step < 0.1:
            replica.let_go()
        elif step < 0.4:
            price = chance.randrange(1000)
            write(price)
        elif step < 0.7:
            chance.choice(list(READS.values()))("replica")
        else:
            assert chance.choice(list(READS.values()))("default") == price


# -- what a replica is good for -----------------------------------------------------------


def test_a_replica_that_has_caught_up_fills_the_cache_for_everybody(replica):
    kept()
    for using in BOTH:
        assert outcome_of(lambda: row(using)) == "hit"  # noqa: B023
    write(9)
    assert row("default") == 9
    invalidate(Item, using="replica")
    replica.catch_up()
    assert outcome_of(lambda: row("replica")) == "miss"


def test_a_reader_waits_a_moment_for_a_replica_that_is_almost_there(replica, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REPLICA_WAIT_SECONDS": 20}
    replica.hold()
    write(9)
    with running(lambda: row("replica")) as waiting:
        replica.let_go()
        assert waiting() == 9
    assert outcome_of(lambda: row("default")) == "hit"


def test_a_replica_of_an_idle_primary_is_not_taken_to_lag(replica):
    """The next record would stand behind the header of a new file, where no replica is yet."""

    def reason():
        invalidate(Item)
        ask(replica.primary, "SELECT pg_switch_wal()")
        replica.catch_up()
        return reason_of(lambda: row("replica"))

    # A primary is not quite idle while it notes by itself which transactions run.
    assert "" in (reason() for _ in range(5))


def test_a_hit_opens_no_connection(replica, price):
    price("default")
    connections["replica"].close()
    assert outcome_of(lambda: price("replica")) == "hit"
    assert connections["replica"].connection is None


def test_what_is_asked_besides_shows_in_nobodys_count_of_queries(replica):
    with (
        CaptureQueriesContext(connections["default"]) as main,
        CaptureQueriesContext(connections["replica"]) as other,
    ):
        row("replica")
    assert (len(main), len(other)) == (0, 1)


def test_a_replica_asked_as_another_user_has_entries_of_its_own(replica):
    """Row level security or a schema of his own may show him something else."""
    row("default")
    ask(replica.primary, "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'r'")
    replica.catch_up()
    with led_elsewhere("replica", USER="reader", PASSWORD="r"):
        assert outcome_of(lambda: row("replica")) == "miss"
        write(9)
        replica.catch_up()
        assert row("replica") == 9
    ask(replica.primary, "DROP ROLE reader")


class ReadFromReplica:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"


def test_a_router_that_reads_from_the_replica(replica, settings):
    settings.DATABASE_ROUTERS = [ReadFromReplica()]
    item = Item.objects.get(pk=1)
    assert item._state.db == "replica"
    assert item.category.name == "a"
    item.price = 9
    item.save()
    replica.catch_up()
    eventually(lambda: reason_of(lambda: Item.objects.get(pk=1)) == "")
    assert outcome_of(lambda: Item.objects.get(pk=1)) == "hit"
    assert Item.objects.get(pk=1).price == 9


# -- transactions ---------------------------------------------------------------------------


def test_a_replica_shows_a_writer_what_is_committed_and_no_more(replica, price):
    """As without a cache: it is another connection, which his transaction is not on."""
    kept()
    with transaction.atomic():
        write(9)
        assert price("replica") == 0
        assert price("default") == 9
        assert Category.objects.using("replica").get(pk=1).name == "a"
    assert price("default") == 9


def test_in_a_transaction_on_the_replica_nothing_is_asked_and_nothing_kept(replica):
    with transaction.atomic(using="replica"):
        assert reason_of(lambda: row("replica")) == "transaction on a replica"
        with connections["replica"].cursor() as cursor:
            cursor.execute("SELECT 1")
    kept("default")
    with transaction.atomic(using="replica"):
        assert outcome_of(lambda: row("replica")) == "hit"


# -- servers that are not what they were ----------------------------------------------------


def test_a_replica_that_nobody_declared_is_found_out(replica, settings, monkeypatch):
    """A pooler, or a list of hosts, leads `default` to it; or it is named as a database."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "REPLICAS": {}}
    monkeypatch.setattr(type(site.policy_for(Item).policy), "databases", BOTH)
    site.forget()
    with replica.delayed():
        write(9)
        assert reason_of(lambda: row("replica")) == "undeclared replica"
        assert [m.id for m in check_undeclared_replicas()] == ["cachepatterns.W040"]
    assert row("replica") == 9
    monkeypatch.undo()
    site.forget()


def test_an_alias_that_leads_to_the_primary_itself_is_no_replica(replica, monkeypatch):
    """As in development, where there is but one server."""
    monkeypatch.setattr(replay, "position_of", lambda connection: pytest.fail("was asked"))
    with led_elsewhere("replica", **place(replica.primary)):
        assert reason_of(lambda: row("replica")) == ""
        assert outcome_of(lambda: row("default")) == "hit"


def test_after_a_failover_nothing_of_the_old_cluster_is_kept(replica):
    """The new primary is on a timeline of its own, where positions mean something else."""
    folder = replica.directory.parent
    with StreamingReplica(folder / "heir", replica.primary) as heir:
        heir.ask("SELECT pg_promote()")
        with led_elsewhere("replica", **place(heir)):
            assert reason_of(lambda: row("replica")) == "replica promoted"
        # The old primary lives on, unnoticed, and the replica follows it far ahead.
        ask(replica.primary, "UPDATE app_item SET name = repeat('x', 40)")
        ask(replica.primary, "SELECT pg_switch_wal()")
        ask(replica.primary, "UPDATE app_item SET name = repeat('y', 40)")
        replica.catch_up()
        with led_elsewhere("default", **place(heir)):
            write(9)
            assert reason_of(lambda: row("replica")) == "replica of another primary"
            assert row("default") == 9
            with StreamingReplica(folder / "grandchild", heir) as follower:
                follower.catch_up()
                with led_elsewhere("replica", **place(follower)):
                    invalidate(Item)
                    kept()


def test_a_primary_that_hangs_holds_up_nobody_who_reads_from_the_replica(replica, monkeypatch):
    monkeypatch.setattr(primary, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(primary, "RETRY_SECONDS", 0.0)
    kept()
    invalidate(Item)
    family = psutil.Process(replica.primary.pid).children(recursive=True)
    try:
        for process in family:
            with suppress(psutil.NoSuchProcess):  # of a connection that was just closed
                process.suspend()
        with running(lambda: reason_of(lambda: row("replica"))) as reason:
            assert reason() == "primary not asked"
    finally:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        monkeypatch.setattr(primary, "ASK_SECONDS", 20)
    kept()


def test_a_connection_that_the_primary_has_ended_is_made_anew(replica):
    kept()
    invalidate(Item)
    replica.catch_up()
    ask(
        replica.primary,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE query LIKE '%pg_walfile_name%' AND pid <> pg_backend_pid()",
    )
    kept()
