"""Two writers who move one row between categories leave no third category's list stale.

Neither knows what the other has done: only the database can say which list the row left.
"""

import threading

import django
import pytest
from django.db import connection, transaction
from django.db.models import sql

from cachepatterns import uncached
from tests.app.models import Category, Item
from tests.events import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lists(goods):
    """The lists of five categories; the row is in the first."""
    _, _, items = goods
    categories = [Category.objects.create(name=x, slug=f"c{x}") for x in "12345"]
    Item.objects.filter(pk=items[0].pk).update(category=categories[0])

    def read():
        return [list(Item.objects.filter(category=c).values_list("pk")) for c in categories]

    return items[0].pk, categories, read


def by_update(pk, stale, category):
    Item.objects.filter(pk=pk).update(category=category)


def by_stale_save(pk, stale, category):
    stale.category = category
    stale.save()


def by_condition(pk, stale, category):
    Item.objects.filter(pk=pk, stock=0).update(category=category, stock=0)


def by_upsert(pk, stale, category):
    row = Item(name="upserted", sku=stale.sku, category=category, price=1)
    key = {} if connection.vendor == "mysql" else {"unique_fields": ["sku"]}
    Item.objects.bulk_create([row], update_conflicts=True, update_fields=["category"], **key)


WAYS = {
    "update": by_update,
    "save of a stale instance": by_stale_save,
    "filter": by_condition,
    "upsert": by_upsert,
}


def check(read):
    with uncached():
        truth = read()
    assert read() == truth
    assert read() == truth
    assert sum(map(len, truth)) == 1


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_the_second_waits_for_the_first_and_takes_the_row_from_where_that_put_it(
    lists, first, second
):
    """B's statement begins while A's is not committed: B's snapshot has the row in category 1."""
    pk, categories, read = lists
    stale = [Item.objects.uncached().get(pk=pk) for _ in range(2)]
    read(), read()
    a_wrote, errors = threading.Event(), []
    waiting = threading.Event()

    def b():
        try:
            assert a_wrote.wait(20)
            with connection.cursor() as cursor:  # connected, before it says that it is about to
                cursor.execute("SELECT 1")
            waiting.set()
            WAYS[second](pk, stale[1], categories[2])
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=b)
    thread.start()
    with transaction.atomic():
        WAYS[first](pk, stale[0], categories[1])
        a_wrote.set()
        assert waiting.wait(20)
        if connection.vendor == "postgresql":
            eventually(_somebody_waits)
    read()  # the lists as A left them, as B is about to outdate them
    thread.join(20)
    assert errors == []
    check(read)
    assert read()[2] == [(pk,)]


@pytest.mark.parametrize("read_back", [False, True])
def test_a_row_whose_primary_key_another_is_changing_is_written_all_the_same(lists, read_back):
    """B finds the row by its category, waits for A, and finds it under another key."""
    if connection.vendor != "postgresql":
        pytest.skip(f"only PostgreSQL can miss the row; {connection.vendor} finds it or waits")
    if read_back and django.VERSION < (6, 0):
        pytest.skip("Django returns no fields of an UPDATE before 6.0")
    pk, categories, read = lists
    read()
    ready, errors, told = threading.Event(), [], []

    def b():
        try:
            assert ready.wait(20)
            rows = Item.objects.filter(category=categories[0])
            if read_back:
                query = rows.query.chain(sql.UpdateQuery)
                query.add_update_values({"stock": 7})
                compiler = query.get_compiler("default")
                fields = [Item._meta.get_field("id"), Item._meta.get_field("stock")]
                told.append(compiler.execute_returning_sql(fields))
            else:
                told.append(rows.update(stock=7))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=b)
    thread.start()
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(id=pk + 1000)
        ready.set()
        eventually(lambda: errors or _somebody_waits())
    thread.join(20)
    assert errors == []
    if read_back:
        assert told[0] == [(pk + 1000, 7)]
    else:
        assert told == [1]
    for _ in range(2):
        assert [(i.pk, i.stock) for i in Item.objects.filter(category=categories[0])] == [
            (pk + 1000, 7)
        ]


def _somebody_waits():
    """In this database: others of the server are other tests'."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return cursor.fetchone()[0] > 0


@pytest.mark.parametrize("way", WAYS)
def test_many_writers_at_once_leave_every_list_right(lists, way):
    pk, categories, read = lists
    read()
    start, errors = threading.Barrier(4), []

    def write(number):
        try:
            stale = Item.objects.uncached().get(pk=pk)
            start.wait(20)
            for turn in range(6):
                WAYS[way](pk, stale, categories[(number + turn) % 5])
                read()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    check(read)
