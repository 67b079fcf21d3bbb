"""Writes that no layer can see, announced: readers keep away, and see what was written."""

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.contenttypes.models import ContentType
from django.db import ProgrammingError, connection, transaction

from cachepatterns import announces, cached
from cachepatterns.exceptions import CachePatternsError, WriteRefused
from tests.app.models import Category, Item, Label, Place, Shop
from tests.events import eventually, outcome_of, seen
from tests.integration.test_strict import writers
from tests.integration.test_transactions import in_thread
from tests.policies import policy_of


def price(pk):
    return Item.objects.get(pk=pk).price


def warm(goods):
    for item in goods[2]:
        price(item.pk), price(item.pk)
    assert outcome_of(lambda: price(goods[2][0].pk)) == "hit"
    return goods[2][0].pk


@pytest.fixture
def procedures(fresh):
    """A function and a procedure that write, and are gone afterwards."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION reprice(key bigint, value numeric) RETURNS numeric LANGUAGE sql AS
            'UPDATE app_item SET price = value WHERE id = key RETURNING price'
            """
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION reprice")


def by_callproc(pk):
    with connection.cursor() as cursor:
        cursor.callproc("reprice", [pk, 9])


def by_select(pk):
    with connection.cursor() as cursor:
        cursor.execute("SELECT reprice(%s, 9)", [pk])


def by_stream(pk):
    with connection.cursor() as cursor:
        sql = f"UPDATE app_item SET price = 9 WHERE id = {pk} RETURNING id"
        assert list(cursor.stream(sql)) == [(pk,)]


def by_driver(pk):
    connection.ensure_connection()
    connection.connection.execute(f"UPDATE app_item SET price = 9 WHERE id = {pk}")


def a_client():
    """A connection that is not Django's."""
    wanted = ("host", "port", "dbname", "user", "password")
    params = connection.get_connection_params()
    return psycopg.connect(**{k: params[k] for k in wanted if k in params}, autocommit=True)


def by_another_client(pk):
    with a_client() as client:
        client.execute(f"UPDATE app_item SET price = 9 WHERE id = {pk}")


WAYS = [by_callproc, by_select, by_stream, by_driver]


@pytest.mark.parametrize("write", [*WAYS, by_another_client])
def test_a_reader_between_the_write_and_the_end_of_the_block_sees_it(goods, procedures, write):
    pk = warm(goods)
    with announces(Item):
        write(pk)
        assert in_thread(lambda: price(pk)) == 9
        assert price(pk) == 9
    assert price(pk) == 9
    assert in_thread(lambda: outcome_of(lambda: price(pk))) == "hit"
    assert writers() == {}


@pytest.mark.parametrize("write", WAYS)
def test_in_a_transaction_it_counts_from_the_commit_on(goods, procedures, write):
    pk = warm(goods)
    with transaction.atomic():
        with announces(Item):
            write(pk)
        assert price(pk) == 9
        assert in_thread(lambda: price(pk)) == 0
        assert writers()  # the registration belongs to the transaction, not to the block
    assert price(pk) == 9
    assert in_thread(lambda: price(pk)) == 9


def test_a_transaction_paused_before_its_first_statement_is_ended_by_the_database(goods):
    """The interleaving: it registers, and is stopped for longer than that lives, and only then
    sends its BEGIN. No timeout would count from before the registration."""
    pk, driver = warm(goods), connection.connection
    driver.execute("SET transaction_timeout = '50ms'")

    def write_late():
        with transaction.atomic(), announces(Item), a_client() as client:
            assert writers()
            here = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            pid = [driver.info.backend_pid]
            eventually(lambda: client.execute(here, pid).fetchone() is None)
            driver.execute("UPDATE app_item SET price = 9 WHERE id = %s", [pk])

    with pytest.raises(psycopg.Error):
        write_late()
    connection.close()
    assert price(pk) == 0


def test_a_transaction_announced_before_its_first_statement_may_still_choose_its_isolation(goods):
    with transaction.atomic(), announces(Item), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("serializable",)


def test_a_transaction_within_the_block(goods, procedures):
    pk = warm(goods)
    with announces(Item):
        with transaction.atomic():
            by_driver(pk)
            assert price(pk) == 9
            assert in_thread(lambda: price(pk)) == 0
        assert in_thread(lambda: price(pk)) == 9
    assert in_thread(lambda: price(pk)) == 9


def test_a_transaction_begun_by_hand_within_the_block_and_ended_after_it(goods):
    pk = warm(goods)
    with connection.cursor() as cursor:
        with announces(Item):
            cursor.execute("BEGIN")
            by_driver(pk)
        assert in_thread(lambda: price(pk)) == 0
        cursor.execute("COMMIT")
    assert price(pk) == 9
    assert in_thread(lambda: price(pk)) == 9


def test_a_transaction_begun_by_hand_and_ended_within_the_block(goods):
    pk = warm(goods)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with announces(Item):
            cursor.execute("COMMIT")
            by_driver(pk)
    assert price(pk) == 9


def test_what_is_copied_in_stands_in_the_lists(goods):
    a = goods[0]

    def names():
        return sorted(i.name for i in Item.objects.filter(category=a))

    assert names() == names() == ["item 0", "item 2"]
    rows = "COPY app_item (name, sku, category_id, price, stock, active) FROM STDIN"
    with announces(Item), connection.cursor() as cursor:
        with cursor.copy(rows) as copy:
            copy.write_row(("copied", "c", a.pk, 1, 0, True))
        assert in_thread(names) == ["copied", "item 0", "item 2"]
    assert names() == ["copied", "item 0", "item 2"]


@pytest.mark.parametrize("error", [ValueError, ProgrammingError])
def test_an_exception_does_not_undo_what_was_written_before_it(goods, error):
    pk = warm(goods)

    def fail_after_writing():
        with announces(Item):
            by_driver(pk)
            raise error

    with pytest.raises(error):
        fail_after_writing()
    assert price(pk) == 9
    assert writers() == {}


def test_after_an_interrupt_the_registration_stands_until_it_expires(goods, settings):
    """The server may still be at the statement that nobody waits for any more."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 0.5}
    pk = warm(goods)
    with pytest.raises(KeyboardInterrupt), announces(Item):
        raise KeyboardInterrupt
    assert writers()
    by_driver(pk)
    assert price(pk) == 9
    eventually(lambda: price(pk) == 9 and outcome_of(lambda: price(pk)) == "hit")


def test_a_savepoint_that_is_rolled_back_drops_nothing(goods):
    pk = warm(goods)
    with transaction.atomic():
        with announces(Item):
            by_driver(pk)
        with pytest.raises(ValueError, match="undo"), transaction.atomic(), announces(Label):
            raise ValueError("undo")
    assert price(pk) == 9


def test_eventual_models_are_read_from_the_database_within_and_bumped_after(goods):
    with policy_of(Item, consistency="eventual"):
        pk = warm(goods)
        with announces(Item):
            by_driver(pk)
            assert price(pk) == 9
            assert in_thread(lambda: price(pk)) == 0  # until the block ends
        assert in_thread(lambda: price(pk)) == 9


def test_parents_through_tables_and_named_tags_too(goods):
    shop = Shop.objects.create(name="old")
    Place.objects.get(pk=shop.pk), Place.objects.get(pk=shop.pk)
    with announces(Shop):
        connection.connection.execute("UPDATE app_place SET name = 'new'")
    assert Place.objects.get(pk=shop.pk).name == "new"
    item, label = goods[2][0], Label.objects.create(name="x")
    assert list(item.labels.all()) == []
    with announces(Item.labels.through):
        connection.connection.execute(
            f"INSERT INTO app_item_labels (item_id, label_id) VALUES ({item.pk}, {label.pk})"
        )
    assert list(item.labels.all()) == [label]
    from cachepatterns import tag

    def catalog():
        return outcome_of(lambda: list(cached(Category.objects.all(), tags=[tag("catalog", 1)])))

    assert (catalog(), catalog()) == ("miss", "hit")
    with announces(Item):
        pass
    assert catalog() == "miss"


def test_from_a_coroutine(goods, procedures):
    pk = warm(goods)

    async def story():
        with announces(Item):
            await sync_to_async(by_callproc)(pk)
            assert (await Item.objects.aget(pk=pk)).price == 9
        return (await Item.objects.aget(pk=pk)).price

    assert async_to_sync(story)() == 9
    assert price(pk) == 9


def test_it_is_told_as_announced_and_not_as_coarse(goods):
    with seen() as found, announces(Item):
        assert found.invalidations == []
    (event,) = found.invalidations
    assert (event.source, event.coarse, event.labels) == ("announced", False, ("app.item",))


def test_where_redis_can_not_be_told_nothing_is_written(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ON_REDIS_ERROR": "refuse"}
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    with pytest.raises(WriteRefused), announces(Item):
        pytest.fail("the block must not run")


def test_what_is_not_cached_or_no_model_is_refused(goods):
    with pytest.raises(CachePatternsError, match="ContentType is not registered"):
        announces(ContentType).__enter__()
    for wrong in ([], [5], [goods[2][0]]):
        with pytest.raises(TypeError, match=r"takes .*models"):
            announces(*wrong).__enter__()
