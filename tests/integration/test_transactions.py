"""Nothing uncommitted is seen by others or stored; a transaction sees its own writes."""

import threading

import pytest
from django.db import connection, transaction

from cachepatterns.transactions import pending_writes
from cachepatterns.write.fence import settle
from tests.app.models import Category, Item, Note
from tests.events import outcome_of, seen


def price(pk):
    return Item.objects.get(pk=pk).price


def no_connection(*args, **kwargs):
    raise OSError("no route")


def in_thread(function):
    """What `function()` gives in a thread, on a connection, of its own."""
    answers = []

    def run():
        try:
            answers.append(function())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=20)
    assert answers, "the thread did not end well"
    return answers[0]


def test_own_writes_are_seen_inside_and_by_nobody_outside_until_the_commit(goods):
    pk = goods[2][0].pk
    assert price(pk) == 0
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        assert price(pk) == 9
        assert in_thread(lambda: price(pk)) == 0
        assert price(pk) == 9
    assert price(pk) == 9
    assert in_thread(lambda: price(pk)) == 9


def test_what_a_transaction_wrote_and_rolled_back_is_nowhere(goods):
    pk = goods[2][0].pk
    assert price(pk) == 0
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        assert price(pk) == 9
        transaction.set_rollback(True)
    assert price(pk) == 0
    assert in_thread(lambda: price(pk)) == 0


def test_a_rolled_back_savepoint_does_not_lose_the_writes_before_it(goods):
    pk, other = goods[2][0].pk, goods[2][1].pk
    assert (price(pk), price(other)) == (0, 1)
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
        with transaction.atomic():
            Item.objects.filter(pk=other).update(price=9)
            transaction.set_rollback(True)
        assert (price(pk), price(other)) == (9, 1)
    assert (price(pk), price(other)) == (9, 1)


def test_writes_only_in_a_committed_savepoint_are_bumped(goods):
    pk = goods[2][0].pk
    assert price(pk) == 0
    with transaction.atomic(), transaction.atomic():
        Item.objects.filter(pk=pk).update(price=9)
    assert price(pk) == 9


def test_from_its_first_write_a_transaction_reads_nothing_through_the_cache(goods):
    pk = goods[2][0].pk
    price(pk)
    with transaction.atomic():
        assert outcome_of(lambda: price(pk)) == "hit"
        # Not the table that is read, not even one that is registered.
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_content_type SET model = model")
        with seen() as found:
            price(pk)
        assert found.reasons == ["transaction has written"]
    assert outcome_of(lambda: price(pk)) == "hit"


def test_users_hooks_registered_before_the_write_see_fresh_data(goods):
    pk = goods[2][0].pk
    price(pk)
    told = []
    with transaction.atomic():
        transaction.on_commit(lambda: told.append(price(pk)))
        Item.objects.filter(pk=pk).update(price=9)
    assert told == [9]


def test_a_failing_commit_bumps_nothing_and_leaks_nothing(goods):
    pk = goods[2][0].pk
    price(pk)
    with seen() as found, pytest.raises(Exception, match="foreign key"), transaction.atomic():
        Item.objects.filter(pk=pk).update(category=999_999)
    assert found.invalidations == []
    assert pending_writes(connection) is None
    settle()
    assert outcome_of(lambda: price(pk)) == "miss"
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_connect_that_fails_inside_atomic_leaves_no_state_behind(goods, monkeypatch):
    pk = goods[2][0].pk
    price(pk)
    connection.close()
    with monkeypatch.context() as broken:
        broken.setattr(connection, "get_new_connection", no_connection)
        with pytest.raises(OSError, match="no route"), transaction.atomic():
            Item.objects.filter(pk=pk).update(price=9)
    assert pending_writes(connection) is None
    Item.objects.filter(pk=pk).update(price=8)
    assert price(pk) == 8


def test_a_connection_that_dies_in_a_transaction_leaves_no_state_behind(goods):
    pk = goods[2][0].pk
    price(pk)
    with pytest.raises(Exception, match=r"terminat|closed"), transaction.atomic():  # noqa: PT012
        Item.objects.filter(pk=pk).update(price=9)
        mine = connection.connection.info.backend_pid

        def terminate():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [mine])

        in_thread(lambda: terminate() or True)
        Item.objects.filter(pk=pk).update(price=10)
    connection.close()
    assert pending_writes(connection) is None
    assert price(pk) == 0
    Item.objects.filter(pk=pk).update(price=8)
    assert price(pk) == 8


def test_manual_transactions_bypass_and_never_leave_an_old_value(goods):
    pk = goods[2][0].pk
    price(pk)
    transaction.set_autocommit(False)
    try:
        Item.objects.filter(pk=pk).update(price=9)
        with seen() as found:
            assert price(pk) == 9
        assert found.reasons == ["manual transaction"]
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert price(pk) == 9


def test_session_state_keeps_a_connection_from_the_cache(goods):
    pk = goods[2][0].pk
    price(pk)
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO public")
    with seen() as found:
        price(pk)
    assert found.reasons == ["session state"]
    connection.close()
    assert outcome_of(lambda: price(pk)) == "hit"


def test_plain_managers_raw_sql_and_cascades_are_seen(goods, db_cursor):
    a, _, items = goods
    note = Note.objects.create(item=items[0], text="old")

    def text():
        return list(Note.objects.values_list("text", flat=True))

    assert text() == ["old"]
    Note.plain.filter(pk=note.pk).update(text="new")
    assert text() == ["new"]
    db_cursor.executemany("UPDATE app_note SET text = %s WHERE id = %s", [("raw", note.pk)])
    assert text() == ["raw"]
    note.text = "saved"
    note.save()
    assert text() == ["saved"]
    a.delete()
    assert text() == []
    assert not Item.objects.filter(pk=items[0].pk).exists()


def test_many_to_many_changes_are_seen_from_both_sides(goods):
    from tests.app.models import Label

    label = Label.objects.create(name="l")
    item = goods[2][0]

    def names():
        return [x.name for x in Item.objects.get(pk=item.pk).labels.all()]

    def items():
        return list(label.items.values_list("pk", flat=True))

    assert (names(), items()) == ([], [])
    item.labels.add(label)
    assert (names(), items()) == (["l"], [item.pk])
    label.items.clear()
    assert (names(), items()) == ([], [])


def test_get_or_create_acts_on_the_databases_word(goods):
    with seen() as found:
        Category.objects.get_or_create(slug="a", defaults={"name": "x"})
    assert found.outcomes == ["bypass"]
