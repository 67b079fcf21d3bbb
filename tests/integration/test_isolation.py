"""A snapshot is older than what others have committed: nothing of it is kept, and nothing newer
is read in it from the cache. However the snapshot has come about."""

from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from psycopg import IsolationLevel

from cachepatterns import invalidate
from cachepatterns.registry import site
from tests.aliases import added, create_tables, led_elsewhere
from tests.app.models import Category, Item
from tests.calm import nobody_writes
from tests.events import outcome_of, seen
from tests.integration.threads import running

# -- ways to see a snapshot ---------------------------------------------------------------


@contextmanager
def asked_by(*statements):
    """A transaction whose first statements ask for it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield


@contextmanager
def by_option(level):
    options = {**connection.settings_dict["OPTIONS"], "isolation_level": level}
    with led_elsewhere("default", OPTIONS=options), transaction.atomic():
        yield


@contextmanager
def by_the_servers_default():
    """As an administrator may have set it for a role, a database or the server."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])

    def alter(what):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} {what}")
        connection.close()

    alter("SET default_transaction_isolation = 'repeatable read'")
    try:
        with transaction.atomic():
            yield
    finally:
        alter("RESET default_transaction_isolation")


@contextmanager
def by_the_driver():
    """On a connection that was known to be at READ COMMITTED."""
    with transaction.atomic():
        list(Category.objects.all())
    connection.connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with transaction.atomic():
            yield
    finally:
        connection.connection.isolation_level = None


@contextmanager
def begun_by_hand():
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            yield
        finally:
            cursor.execute("COMMIT")


@contextmanager
def by_the_session():
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    try:
        with transaction.atomic():
            yield
    finally:
        connection.close()


SNAPSHOTS = {
    "SET TRANSACTION": lambda: asked_by("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
    "SET TRANSACTION READ ONLY": lambda: asked_by(
        "SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"
    ),
    "SET LOCAL": lambda: asked_by("SET LOCAL transaction_isolation = 'serializable'"),
    "SESSION CHARACTERISTICS": by_the_session,
    "BEGIN": begun_by_hand,
    "OPTIONS, repeatable read": lambda: by_option(IsolationLevel.REPEATABLE_READ),
    "OPTIONS, serializable": lambda: by_option(IsolationLevel.SERIALIZABLE),
    "the server's default": by_the_servers_default,
    "the driver's attribute": by_the_driver,
}


@pytest.fixture(params=SNAPSHOTS)
def snapshot(request):
    return SNAPSHOTS[request.param]


def price(pk, using="default"):
    return Item.objects.using(using).get(pk=pk).price


def elsewhere(function):
    with running(function) as answer:
        return answer()


def written_and_read(pk, value, using="default"):
    """Another connection commits `value` and leaves it in the cache."""

    def act():
        Item.objects.using(using).filter(pk=pk).update(price=value)
        assert price(pk, using) == value
        assert outcome_of(lambda: price(pk, using)) == "hit"

    elsewhere(act)


def test_a_snapshot_neither_reads_what_is_newer_nor_keeps_what_is_older(goods, snapshot):
    """It begins · another commits 9 and caches it · it reads · the entry is evicted · it reads."""
    pk = goods[2][0].pk
    with snapshot():
        assert price(pk) == 0
        written_and_read(pk, 9)
        with seen() as found:
            assert price(pk) == 0
        assert found.outcomes == ["bypass"]
        elsewhere(lambda: invalidate(Item))
        assert price(pk) == 0
    assert price(pk) == 9
    assert outcome_of(lambda: price(pk)) == "hit"


def test_read_committed_reads_and_keeps_also_in_a_transaction(goods):
    pk = goods[2][0].pk
    with transaction.atomic():
        assert price(pk) == 0
        written_and_read(pk, 9)
        assert outcome_of(lambda: price(pk)) == "hit"
        elsewhere(lambda: Item.objects.filter(pk=pk).update(price=8))
        assert price(pk) == 8
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_table_of_ones_own_that_hides_the_real_one_is_kept_to_oneself(goods):
    pk = goods[2][0].pk
    invalidate(Item)
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE app_item AS SELECT * FROM app_item")
            cursor.execute("UPDATE pg_temp.app_item SET price = 77")
        assert price(pk) == 77
        assert elsewhere(lambda: price(pk)) == 0
    finally:
        connection.close()
    assert price(pk) == 0


# -- SQLite, whose readers do not wait for writers in WAL mode ---------------------------------


@pytest.fixture
def wal(empty_cache, monkeypatch, tmp_path, django_db_blocker):
    """Items 1 to 300 cost 0 in an SQLite database, `wal`."""
    for model in (Category, Item):
        monkeypatch.setattr(type(site.policy_for(model).policy), "databases", ("default", "wal"))
    site.forget()
    options = {"init_command": "PRAGMA journal_mode=wal"}
    with (
        django_db_blocker.unblock(),
        added("wal", like="sqlite", NAME=tmp_path / "wal.db", OPTIONS=options) as found,
    ):
        create_tables(found)
        category = Category.objects.using("wal").create(name="a", slug="a")
        Item.objects.using("wal").bulk_create(
            Item(pk=pk, name="item", sku=str(pk), category=category, price=0)
            for pk in range(1, 301)
        )
        nobody_writes()
        yield "wal"
    monkeypatch.undo()
    site.forget()


def test_an_sqlite_transaction_that_only_reads_is_a_snapshot(wal):
    with transaction.atomic(using=wal):
        assert price(1, wal) == 0
        written_and_read(1, 9, wal)
        with seen() as found:
            assert price(1, wal) == 0
        assert found.reasons == ["snapshot transaction"]
        elsewhere(lambda: invalidate(Item, using=wal))
        assert price(1, wal) == 0
    assert price(1, wal) == 9
    assert outcome_of(lambda: price(1, wal)) == "hit"


READS = {
    "row": lambda: price(1, "wal"),
    "rows": lambda: Item.objects.using("wal").in_bulk([1])[1].price,
    "list": lambda: Item.objects.using("wal").filter(pk=1).values_list("price", flat=True)[0],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_sqlite_query_that_is_not_read_to_its_end_is_a_snapshot_too(wal, read):
    """An iterator is open · another commits 9 · the next read still sees what the iterator saw,
    which must not be kept."""
    rows = iter(Item.objects.using(wal).order_by("pk").iterator(chunk_size=2))
    next(rows)
    elsewhere(lambda: Item.objects.using(wal).filter(pk=1).update(price=9))
    with seen() as found:
        assert read() == 0
    assert found.reasons == ["open iterator"]
    elsewhere(lambda: read() == 9 or pytest.fail("an old value was kept"))
    assert read() == 9  # from the cache
    assert len(list(rows)) == 299
    elsewhere(lambda: invalidate(Item, using=wal))
    assert read() == 9
    assert outcome_of(read) == "hit"
