"""Statements of Django's own tell their rows, whoever sends them, and nobody notices."""

from contextlib import nullcontext

import django
import pytest
from django.db import connection, connections, models, transaction

from cachepatterns import uncached
from cachepatterns.write import appending
from cachepatterns.write.refetched import Refetched
from tests.app.models import Category, Item, Note, Secret
from tests.app.relations import Branch
from tests.events import outcome_of, seen

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture
def sent(goods):
    """The statements as they reach the driver."""
    texts = []

    def note(execute, sql, params, many, context):
        texts.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield texts


def returning(texts):
    return [text for text in texts if "RETURNING" in text]


def test_a_delete_leaves_the_entries_of_other_rows(goods, sent):
    a, b, items = goods

    def others():
        Item.objects.get(pk=items[1].pk)
        list(Item.objects.filter(category=b))

    others()
    pk = items[0].pk
    with seen() as found:
        assert items[0].delete() == (1, {"app.Item": 1})
    assert not any(event.coarse for event in found.invalidations)
    assert str(pk) in {event.object_pk for event in found.invalidations}
    with seen() as found:
        others()
    assert found.outcomes == ["hit", "hit"]
    assert [i.pk for i in Item.objects.filter(category=a)] == [items[2].pk]
    assert [text.split()[2] for text in returning(sent)] == ['"app_note"', '"app_item"']


@pytest.mark.skipif(django.VERSION < (6, 1), reason="DB_CASCADE came with Django 6.1")
@pytest.mark.parametrize("in_atomic", [False, True])
def test_rows_of_the_same_table_that_the_database_deletes_too_are_gone(fresh, in_atomic):
    trunk = Branch.objects.create()
    branch = Branch.objects.create(trunk=trunk)
    twig = Branch.objects.create(trunk=branch)

    def found():
        return [Branch.objects.filter(pk=each).count() for each in (trunk.pk, branch.pk, twig.pk)]

    assert found() == found() == [1, 1, 1]
    with transaction.atomic() if in_atomic else nullcontext():
        Branch.objects.get(pk=branch.pk).delete()
    assert found() == [1, 0, 0]


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_the_row_count_is_the_plain_ones(fresh, using):
    category = Category.objects.using(using).create(name="a", slug="a")
    rows = [Item(name="x", sku=f"s{n}", category=category, price=n) for n in range(250)]
    Item.objects.using(using).bulk_create(rows)
    plain = models.QuerySet(Item, using=using)
    assert plain.filter(price__gte=240)._raw_delete(using) == 10
    assert plain.filter(price__gte=1000)._raw_delete(using) == 0
    # More than the Collector deletes in one statement.
    assert plain.filter(price__gte=10).delete() == (230, {"app.Item": 230})
    assert plain._raw_delete(using) == 10


def test_sql_of_the_users_own_is_left_as_it_is(goods, sent):
    Note.plain.create(item=goods[2][0], text="x")
    with connection.cursor() as cursor:
        cursor.execute('DELETE FROM "app_note" WHERE "app_note"."text" = %s', ["x"])
        assert cursor.description is None
        assert cursor.rowcount == 1
    assert returning(sent[-1:]) == []


def test_a_model_that_is_not_registered_is_left_alone(goods, sent):
    Secret.objects.create(item=goods[2][0], word="x")
    models.QuerySet(Secret).filter(word="x").delete()
    assert sent[-1].startswith('DELETE FROM "app_secret"')
    assert returning(sent[-1:]) == []


def test_deleting_a_whole_table_does_not_return_all_of_it(goods, sent):
    note = Note.plain.create(item=goods[2][0], text="x")
    Note.objects.get(pk=note.pk)
    assert models.QuerySet(Note)._raw_delete("default") == 1
    assert returning(sent[-1:]) == []
    with pytest.raises(Note.DoesNotExist):
        Note.objects.get(pk=note.pk)


def test_a_statement_that_ends_in_a_comment_is_left_to_the_coarse_layer(goods, monkeypatch):
    """Whatever is appended to it would be part of the comment."""
    compiler = connections["default"].ops.compiler("SQLDeleteCompiler")

    def commented(self, *args):
        sql, params = original(self, *args)
        return f"{sql} -- by a tool", params

    original = compiler.as_sql
    monkeypatch.setattr(compiler, "as_sql", commented)
    item = goods[2][1]
    Item.objects.get(pk=item.pk)
    with seen() as found:
        assert models.QuerySet(Item).filter(pk=item.pk)._raw_delete("default") == 1
    assert [event.coarse for event in found.invalidations] == [True]
    assert not Item.objects.filter(pk=item.pk).exists()


def test_a_wrapper_that_cuts_the_rows_off_costs_only_precision(goods):
    def cut(execute, sql, params, many, context):
        return execute(sql.partition(" RETURNING")[0], params, many, context)

    note = Note.plain.create(item=goods[2][0], text="x")
    assert outcome_of(lambda: Note.objects.get(pk=note.pk)) == "miss"
    with connection.execute_wrapper(cut):
        assert Note.plain.filter(pk=note.pk)._raw_delete("default") == 1
    with pytest.raises(Note.DoesNotExist):
        Note.objects.get(pk=note.pk)


@pytest.mark.parametrize("write", ["delete", "update"])
def test_an_interrupt_between_a_write_and_its_account_loses_nothing(goods, monkeypatch, write):
    """The user's code catches it (a soft time limit, say), and commits."""
    item = goods[2][0]
    for _ in range(2):
        Item.objects.get(pk=item.pk)

    def interrupted(self, row):
        raise KeyboardInterrupt

    with transaction.atomic(), monkeypatch.context() as patch:
        patch.setattr(appending.Appended, "_pair", interrupted)
        rows = models.QuerySet(Item).filter(pk=item.pk)
        with pytest.raises(KeyboardInterrupt):
            rows._raw_delete("default") if write == "delete" else rows.update(name="new")
    with uncached():
        truth = list(Item.objects.filter(pk=item.pk).values_list("name"))
    assert [(i.name,) for i in Item.objects.in_bulk([item.pk]).values()] == truth


# -- what Django is given ---------------------------------------------------------------------


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_insert_returns_to_django_what_it_asked_for_and_no_column_more(fresh, using, count):
    category = Category.objects.using(using).create(name="a", slug="a")
    fields = [f for f in Item._meta.concrete_fields if not f.primary_key]
    returned = [Item._meta.get_field(name) for name in ("price", "id")]
    with seen() as found:
        rows = models.QuerySet(Item)._insert(
            [Item(name="x", sku=f"s{n}", category=category, price=n) for n in range(count)],
            fields,
            returning_fields=returned,
            using=using,
        )
    assert not any(event.coarse for event in found.invalidations)
    made = list(models.QuerySet(Item, using=using).values_list("price", "id").order_by("sku"))
    assert [tuple(row) for row in rows] == made


def test_a_write_that_another_wrapper_makes_meanwhile_is_left_as_it_is(goods, sent):
    """Above it in the stack stands a statement of Django's, which is not this one."""

    a, _, items = goods

    def audit(execute, sql, params, many, context):
        if sql.startswith('UPDATE "app_category"'):
            with connection.cursor() as cursor:
                cursor.execute("UPDATE app_item SET stock = 9 WHERE id = %s", [items[0].pk])
                assert cursor.description is None
        return execute(sql, params, many, context)

    def read():
        return Item.objects.get(pk=items[0].pk).stock, Category.objects.get(pk=a.pk).name

    assert read() == (0, a.name)
    with connection.execute_wrapper(audit):
        Category.objects.filter(pk=a.pk).update(name="new")
    assert read() == (9, "new")


def test_an_insert_of_which_a_wrapper_cuts_our_columns_off_costs_only_precision(goods):
    def cut(execute, sql, params, many, context):
        head, returns, columns = sql.partition(" RETURNING ")
        return execute(head + returns + columns.partition(",")[0], params, many, context)

    def texts():
        return [note.text for note in Note.objects.filter(item=goods[2][0])]

    assert texts() == []
    with connection.execute_wrapper(cut):
        made = Note.plain.create(item=goods[2][0], text="x")
    assert Note.objects.get(pk=made.pk).text == "x"
    assert texts() == ["x"]


def test_a_cursor_gives_its_rows_once_more_in_every_way():
    class Driver:
        arraysize = 7

    rows = [(1,), (2,), (3,), (4,), (5,)]
    cursor = Refetched(Driver(), rows)
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    assert cursor.fetchmany(2) == [(3,), (4,)]
    assert list(cursor) == [(5,)]
    assert (cursor.fetchone(), cursor.fetchall(), cursor.rowcount) == (None, [], 5)
    assert cursor.arraysize == 7
