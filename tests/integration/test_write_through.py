"""Write-through: the row is read again after the commit, and never an older one is left."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import BackendError
from cachepatterns.observe import PatternEvent
from cachepatterns.read import refreshing
from cachepatterns.read.rowplans import RowPlan
from tests.app.models import Category, Item
from tests.events import outcome_of, seen
from tests.integration.threads import Gate, running
from tests.policies import policy_of

pytestmark = pytest.mark.without_outbox


@pytest.fixture
def through(goods):
    """The goods, written through from now on."""
    with policy_of(Item, write_through=True, ttl=600):
        yield goods


def by_pk(pk):
    return Item.objects.get(pk=pk)


def by_sku(sku):
    return Item.objects.get(sku=sku)


def done(found) -> dict[str, int]:
    """What the pattern says it has done, in the order in which it did."""
    names = [
        (f"{e.what}: {e.reason}" if e.reason else e.what, e.count)
        for e in found.events
        if isinstance(e, PatternEvent)
    ]
    return dict(names)


def verbs(asked) -> list[str]:
    return [query["sql"].partition(" ")[0] for query in asked]


def test_the_next_reader_finds_the_row_by_each_unique_field(through, django_assert_num_queries):
    pk, sku = through[2][0].pk, through[2][0].sku
    with seen() as found:
        Item.objects.filter(pk=pk).update(price=9)
    assert done(found) == {"written through": 1}
    assert outcome_of(lambda: by_pk(pk)) == "hit"
    assert outcome_of(lambda: by_sku(sku)) == "hit"
    with django_assert_num_queries(0):
        assert (by_pk(pk).price, by_sku(sku).price) == (9, 9)


def test_it_costs_one_select_for_all_rows_of_a_statement(through):
    with CaptureQueriesContext(connection) as asked:
        Item.objects.filter(category=through[0]).update(price=9)
    assert sorted(verbs(asked)) == ["SELECT", "UPDATE"]


def test_what_is_stored_is_the_database_s_not_the_instance_s(through):
    item = through[2][0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET stock = 77 WHERE id = %s", [item.pk])
    item.name = "new"
    item.save(update_fields=["name"])  # the instance still holds the old stock
    assert outcome_of(lambda: by_pk(item.pk)) == "hit"
    assert (by_pk(item.pk).name, by_pk(item.pk).stock) == ("new", 77)


def test_inside_atomic_it_waits_for_the_outermost_commit(through):
    pk, gone = through[2][0].pk, through[2][1].pk
    by_pk(pk)
    with CaptureQueriesContext(connection) as asked, transaction.atomic():
        Item.objects.filter(pk=pk).update(price=8)
        with transaction.atomic():
            Item.objects.filter(pk=pk).update(price=9)
        Item.objects.filter(pk=gone).update(price=9)
        assert "SELECT" not in verbs(asked)
    assert verbs(asked)[-2:] == ["COMMIT", "SELECT"]  # one of both rows
    assert by_pk(pk).price == 9
    assert outcome_of(lambda: by_pk(gone)) == "hit"


def test_rolled_back_is_not_written_through(through):
    pk = through[2][0].pk
    with seen() as found, transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        transaction.set_rollback(True)
    assert done(found) == {}
    assert by_pk(pk).price == 0


def test_a_savepoint_that_is_rolled_back_leaves_what_the_database_holds(through):
    pk = through[2][0].pk
    with transaction.atomic():
        with transaction.atomic():
            Item.objects.filter(pk=pk).update(price=9)
            transaction.set_rollback(True)
        Item.objects.filter(pk=through[2][1].pk).update(price=7)
    assert outcome_of(lambda: by_pk(pk)) == "hit"
    assert by_pk(pk).price == 0


def test_a_delete_only_bumps(through):
    pk = through[2][0].pk
    with seen() as found:
        Item.objects.filter(pk=pk).delete()
    assert done(found) == {}
    with pytest.raises(Item.DoesNotExist):
        by_pk(pk)


def test_written_and_deleted_in_one_transaction(through):
    pk = through[2][0].pk
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        Item.objects.filter(pk=pk).delete()
    with pytest.raises(Item.DoesNotExist):
        by_pk(pk)


def test_a_new_unique_value_is_found_and_the_old_one_is_not(through):
    pk = through[2][0].pk
    by_sku("s0")
    Item.objects.filter(pk=pk).update(sku="renamed")
    assert outcome_of(lambda: by_sku("renamed")) == "hit"
    with pytest.raises(Item.DoesNotExist):
        by_sku("s0")


def test_above_the_bound_rows_are_only_bumped(through, settings, django_assert_num_queries):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "WRITE_THROUGH_MAX_ROWS": 2}
    with seen() as found, django_assert_num_queries(1):
        Item.objects.filter(price__gte=0).update(price=9)
    assert done(found) == {"not written through: too many rows": 4}
    with seen() as found, transaction.atomic():
        for item in through[2]:
            Item.objects.filter(pk=item.pk).update(price=8)
    assert done(found) == {"not written through: too many rows": 4}
    assert by_pk(through[2][0].pk).price == 8


def test_nothing_is_read_again_unless_the_policy_says_so(goods, django_assert_num_queries):
    with seen() as found, django_assert_num_queries(1):
        Item.objects.filter(pk=goods[2][0].pk).update(price=9)
    assert done(found) == {}


def test_lists_of_small_tables_too(through, monkeypatch, django_assert_num_queries):
    def listed():
        return Item.objects.filter(active=True)

    monkeypatch.setattr(
        Item_policy(), "write_through_lists", lambda self: [listed()], raising=False
    )
    with django_assert_num_queries(3):
        Item.objects.filter(pk=through[2][0].pk).update(price=9)
    with django_assert_num_queries(0):
        assert [item.price for item in listed()] == [9, 1, 2, 3]


def Item_policy():  # noqa: N802
    from cachepatterns.registry import site

    return type(site.policy_for(Item).policy)


# -- the interleavings that must not happen -------------------------------------------------


def test_a_late_store_of_an_older_row_is_never_served(through, held_before_store):
    """A reads its row again; B commits another value, bumps and stores; A stores at last."""
    pk = through[2][0].pk
    with running(lambda: Item.objects.filter(pk=pk).update(price=8)) as a:
        assert held_before_store.reached.wait(20)
        Item.objects.filter(pk=pk).update(price=9)
        held_before_store.open.set()
        assert a() == 1
    assert by_pk(pk).price == 9
    assert by_sku("s0").price == 9


def test_under_another_writer_s_registration_nothing_is_stored(through, monkeypatch):
    """A has committed; B has written and is about to commit when A would read its row again."""
    pk, gate, original = through[2][0].pk, Gate(), refreshing.mint_missing

    def write():
        with transaction.atomic():
            Item.objects.filter(pk=pk).update(price=9)
            gate.wait()

    def after_b_has_registered(*args):
        monkeypatch.setattr(refreshing, "mint_missing", original)
        started.append(running(write))
        answers.append(started[0].__enter__())
        assert gate.reached.wait(20)
        return original(*args)

    started, answers = [], []
    monkeypatch.setattr(refreshing, "mint_missing", after_b_has_registered)
    with seen() as found:
        Item.objects.filter(pk=pk).update(price=8)
    assert done(found) == {"not written through: writer registered": 1}
    gate.open.set()
    started[0].__exit__(None, None, None)
    assert by_pk(pk).price == 9


def test_a_bump_between_minting_and_reading_makes_it_worthless(through, monkeypatch):
    pk, original = through[2][0].pk, RowPlan.load

    def load(self, values):
        monkeypatch.setattr(RowPlan, "load", original)
        with policy_of(Item, write_through=False):
            Item.objects.filter(pk=pk).update(price=9)
        return original(self, values)

    monkeypatch.setattr(RowPlan, "load", load)
    Item.objects.filter(pk=pk).update(price=8)
    assert outcome_of(lambda: by_pk(pk)) == "miss"
    assert by_pk(pk).price == 9


def test_a_value_that_another_has_changed_is_not_stored_under_the_old_one(through, monkeypatch):
    """Minted for the sku that A wrote; B renames; A reads the row with B's sku."""
    pk, original = through[2][0].pk, RowPlan.load

    def load(self, values):
        monkeypatch.setattr(RowPlan, "load", original)
        with policy_of(Item, write_through=False):
            Item.objects.filter(pk=pk).update(sku="b")
        return original(self, values)

    monkeypatch.setattr(RowPlan, "load", load)
    Item.objects.filter(pk=pk).update(sku="a")
    with pytest.raises(Item.DoesNotExist):
        by_sku("a")
    assert by_sku("b").pk == pk


# -- what fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["mint", "store"])
def test_a_failing_redis_leaves_an_ordinary_bump(through, monkeypatch, operation):
    pk = through[2][0].pk
    by_pk(pk)

    def fail(*args, **kwargs):
        raise BackendError("cut")

    monkeypatch.setattr(current_store(), operation, fail)
    with seen() as found:
        Item.objects.filter(pk=pk).update(price=9)
    assert done(found) == {"not written through: cache failed": 1}
    monkeypatch.undo()
    assert by_pk(pk).price == 9


def test_a_bump_that_is_owed_is_not_written_over(through, monkeypatch):
    pk, backend = through[2][0].pk, current_store().backend
    by_pk(pk)

    def fail(*args, **kwargs):
        raise BackendError("cut")

    with policy_of(Item, consistency="eventual"):
        for operation in ("delete", "release"):
            monkeypatch.setattr(backend, operation, fail)
        with seen() as found:
            Item.objects.filter(pk=pk).update(price=9)
        assert done(found) == {"not written through: not bumped": 1}
        monkeypatch.undo()
        assert by_pk(pk).price == 9


def test_a_failing_read_reaches_nobody(through, monkeypatch):
    pk = through[2][0].pk

    def fail(*args):
        raise ValueError("a converter of the user's")

    monkeypatch.setattr(RowPlan, "load", fail)
    with seen() as found:
        Item.objects.filter(pk=pk).update(price=9)
    assert done(found) == {"not written through: failed": 1}
    assert [error.operation for error in found.errors] == ["write through"]
    monkeypatch.undo()
    assert by_pk(pk).price == 9


def test_eventual_policies_are_written_through_as_well(through):
    with policy_of(Item, consistency="eventual"):
        item = through[2][0]
        item.price = 9
        item.save()  # a read within `save()` would decide a write
        assert outcome_of(lambda: by_pk(item.pk)) == "hit"
        assert by_pk(item.pk).price == 9


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_on_sqlite_a_save_is_written_through(both_databases):
    with policy_of(Category, write_through=True):
        category = Category.objects.using("sqlite").create(name="a", slug="a")
        category.name = "b"
        category.save(using="sqlite")

        def name():
            return Category.objects.using("sqlite").get(pk=category.pk).name

        assert outcome_of(name) == "hit"
        assert name() == "b"
