"""An UPDATE by a kept text is the one that Django compiles: to the letter, to the last parameter.

What must not happen: a text that was kept for one write is sent for another that Django would have
written otherwise; what Django refuses is sent; what a wrapper sees or changes passes unaccounted.
"""

import contextlib
import datetime
import decimal
import random
import re
import uuid

import django
import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.sql.compiler import SQLUpdateCompiler

from cachepatterns.backends.store import current_store
from cachepatterns.write.appending import tells_old
from cachepatterns.write.concerns import Foreseen
from tests.app.models import Category, CheapItem, Everything, Item, Note, Place, Shop
from tests.events import outcome_of, seen
from tests.integration.test_strict import price, writers

pytestmark = pytest.mark.django_db(transaction=True)
SINCE_6 = pytest.mark.skipif(
    django.VERSION < (6, 0), reason="before Django 6.0 an UPDATE returns nothing"
)
KEY = uuid.UUID(int=7)
WHERE_IN_IT = re.compile(r"\nLINE 1: .*\n *\^", re.DOTALL)
"""The place in the statement that an error shows: what was sent may have begun with BEGIN."""
TIMES = 4
"""A text is wanted, made, and used twice."""


@pytest.fixture(autouse=True)
def rows(transactional_db, empty_cache, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}
    category = Category.objects.create(pk=1, name="a", slug="a")
    Category.objects.create(pk=2, name="b", slug="b")
    for pk in (1, 2):
        Item.objects.create(pk=pk, name="i", sku=f"s{pk}", category=category, price=pk)
    Everything.objects.create(pk=KEY)
    Shop.objects.create(pk=1, name="x")


@contextlib.contextmanager
def sent():
    """The UPDATEs that reach the database, and their parameters."""
    found = []

    def watch(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            found.append((sql, [(type(p).__name__, repr(getattr(p, "obj", p))) for p in params]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield found


def outcome(write) -> object:
    try:
        return write()
    except Exception as error:
        return type(error).__name__, WHERE_IN_IT.sub("", str(error))


def unlike(settings, write) -> list:
    """What `write` sends and gives by Django's own way, if it ever differs by ours."""
    with sent() as djangos:
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
        expected = outcome(write)
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": True}
    for _ in range(TIMES):
        with sent() as ours:
            found = outcome(write)
        if ours != djangos or found != expected:
            return [djangos, expected, ours, found]
    return []


@contextlib.contextmanager
def compiled(monkeypatch):
    """How many UPDATEs Django compiles."""
    found, compile_ = [], SQLUpdateCompiler.as_sql

    def as_sql(self):
        found.append(self.query.model)
        return compile_(self)

    with monkeypatch.context() as patched:
        patched.setattr(SQLUpdateCompiler, "as_sql", as_sql)
        yield found


VALUES = [
    None, 0, 1, -1, 2**31, 2**63, 2**70, True, 1.5, float("nan"), decimal.Decimal("1.50"), "", "1",
    "a", "now", "a\0b", "%s", b"1", bytearray(b"1"), [], {}, {"a": [1]}, object, KEY, str(KEY),
    datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2), datetime.time(3),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), datetime.timedelta(1), F("big"), F("char"),
    Value(1), "2020-01-02", "127.0.0.1", decimal.Decimal("NaN"), decimal.Decimal("-Infinity"),
]  # fmt: skip
NAMES = [f.name for f in Everything._meta.concrete_fields] + ["pk", "nothing"]


def set_to(name, value):
    """Set a field, and take it back."""

    def written():
        Everything.objects.filter(pk=KEY).exists()
        with transaction.atomic():
            try:
                return Everything.objects.filter(pk=KEY).update(**{name: value})
            finally:
                transaction.set_rollback(True)

    return written


@pytest.mark.filterwarnings("ignore:DateTimeField")
@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_field_is_set_to(settings, caplog, name):
    assert {repr(v): found for v in VALUES if (found := unlike(settings, set_to(name, v)))} == {}
    assert "cachepatterns could not" not in caplog.text


def test_one_value_of_a_type_says_more_than_the_others():
    """Of what is no plain value each is looked at, and not its type alone."""

    class Odd(str):
        pass

    plain, odd = Odd("a"), Odd("b")
    odd.resolve_expression = Value("from an expression").resolve_expression
    with sent() as statements:
        for value in (plain, plain, plain, odd, plain):
            set_to("char", value)()
    assert [parameters[0][1] for _, parameters in statements] == [
        *["'a'"] * 3,
        "'from an expression'",
        "'a'",
    ]


def test_a_field_may_make_an_expression_of_a_value(monkeypatch):
    field = Everything._meta.get_field("time")  # one of those that are asked
    prepare, odd = field.get_db_prep_save, datetime.time(4)

    def prepared(value, connection):
        return Value("05:06:07") if value == odd else prepare(value, connection=connection)

    monkeypatch.setattr(field, "get_db_prep_save", prepared)
    with sent() as statements:
        for value in (datetime.time(3), datetime.time(3), datetime.time(3), odd):
            set_to("time", value)()
    assert [parameters[0][1] for _, parameters in statements][2:] == [
        repr(prepare(datetime.time(3), connection=connection)),
        "'05:06:07'",
    ]


@pytest.mark.filterwarnings("ignore:DateTimeField")
@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_field_is_set_to_by_a_text_that_another_value_has_left(settings, name):
    def written() -> list:
        found = []
        for value in VALUES + VALUES:
            with sent() as statements:
                found.append((repr(value), outcome(set_to(name, value)), statements))
        return found

    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    expected = written()
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": True}
    assert written() == expected


@pytest.mark.parametrize("model", [Item, CheapItem, Place, Shop, Category])
@pytest.mark.parametrize("key", [1, 9, 0, -1, 2**31, 2**63, 2**70, True, "1", "x", None, F("pk")])
def test_whatever_row_is_asked_for(settings, model, key):
    name = "name"
    assert unlike(settings, lambda: model.objects.filter(pk=key).update(**{name: "n"})) == []


@pytest.mark.parametrize(
    "text",
    [
        "Item.objects.filter(pk=1).update(price=5)",
        "Item.objects.filter(id=1).update(price=5, name='b')",
        "Item.objects.filter(id__exact=1).update(price=5)",
        "Item.objects.filter(pk=1).update(category=2)",
        "Item.objects.filter(pk=1).update(category_id=2)",
        "Item.objects.filter(pk=1).update(category=Category(pk=2))",
        "Item.objects.filter(pk=1).update(price=F('price'))",
        "Item.objects.filter(pk=1).update(sku='s2')",
        "Item.objects.filter(pk=1).update(price=None)",
        "Item.objects.filter(pk=1).update(pk=3)",
        "Item.objects.filter(pk=1).update()",
        "Item.objects.filter(pk=1, price=1).update(name='c')",
        "Item.objects.filter(pk=1).filter(price__gt=0).update(name='c')",
        "Item.objects.exclude(pk=1).update(name='c')",
        "Item.objects.filter(price=1).update(name='c')",
        "Item.objects.filter(pk=1)[:1].update(name='c')",
        "Item.objects.filter(pk=1).order_by('price').update(name='c')",
        "Item.objects.filter(pk=1).values('name').update(name='c')",
        "Item.objects.all().update(name='c')",
        "CheapItem.objects.filter(pk=1).update(price=6)",
        "Shop.objects.filter(pk=1).update(name='y')",
        "Item.objects.get(pk=1).save()",
        "Item.objects.get(pk=1).save(update_fields=['price'])",
        "Item.objects.get(pk=1).save(force_update=True)",
        "Item(pk=1, name='n', sku='s1', category_id=2, price=3).save()",
        "Item(pk=9, name='n', sku='s1', category_id=2, price=3).save(force_update=True)",
        "Item.objects.defer('name').get(pk=1).save()",
        "CheapItem.objects.get(pk=1).save()",
        "Shop.objects.get(pk=1).save()",
        "Everything.objects.get(pk=KEY).save()",
        "Item.objects.bulk_update([Item(pk=1, price=3), Item(pk=2, price=4)], ['price'])",
        "Item.objects.update_or_create(pk=1, defaults={'price': 8})[1]",
    ],
)
def test_whatever_way_a_row_is_written(settings, text):
    names = {**globals(), "Item": Item}
    assert unlike(settings, lambda: eval(text, names)) == []


@pytest.mark.parametrize(
    "how",
    [
        (),
        pytest.param(([],), marks=SINCE_6),
        pytest.param(("price",), marks=SINCE_6),
        pytest.param({"returning_fields": []}, marks=SINCE_6),
        pytest.param({"returning_fields": None}, marks=SINCE_6),
    ],
)
def test_whatever_save_asks_a_queryset_to_return(settings, how):
    """What Django's `Model.save` calls, with all that it may be given."""
    price = Item._meta.get_field("price")
    kwargs = how if isinstance(how, dict) else {}
    args = () if kwargs else [[price] if each == "price" else each for each in how]

    def write():
        return Item.objects.filter(pk=1)._update([(price, None, 7)], *args, **kwargs)

    expected = QuerySet(Item).filter(pk=1)._update([(price, None, 7)], *args, **kwargs)
    assert write() == expected
    assert unlike(settings, write) == []


def test_rows_with_any_of_their_fields_null(settings):
    chance = random.Random(7)
    fields = [f.name for f in Everything._meta.concrete_fields if f.null]
    some = {
        "big": 1, "small": 2, "text": "t", "char": "c", "unique_or_null": "u", "flag": True,
        "decimal": decimal.Decimal("1.5"), "real": 0.5, "date": datetime.date(2020, 1, 2),
        "time": datetime.time(3), "span": datetime.timedelta(1), "raw": b"r", "json": {"a": None},
        "moment": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), "ip": "::1", "url": "http://x",
        "file": "f",
    }  # fmt: skip
    assert set(fields) == set(some)
    for _ in range(12):
        set_to = {name: chance.choice([None, some[name]]) for name in fields}
        thing = Everything(pk=KEY, **set_to)
        assert unlike(settings, lambda thing=thing: thing.save(force_update=True)) == []
        kept = Everything.objects.uncached().get(pk=KEY)
        assert {name: getattr(kept, name) for name in fields if name not in {"raw", "file"}} == {
            name: value for name, value in set_to.items() if name not in {"raw", "file"}
        }


def test_it_is_kept(monkeypatch):
    if not tells_old(connection):
        pytest.skip("texts are kept where RETURNING knows old values: PostgreSQL 18")
    item, thing = Item.objects.get(pk=1), Everything.objects.get(pk=KEY)
    # Of binary values only the field knows how they stand in a text.
    fields = [f.name for f in Everything._meta.concrete_fields if f.null and f.name != "raw"]

    def write(n):
        item.price = thing.big = n
        item.save()
        item.save(update_fields=["price"])
        thing.save(update_fields=fields)
        Item.objects.filter(pk=2).update(price=n)

    write(3), write(4), write(5)  # how rows are found is learnt, the text asked for, and made
    with compiled(monkeypatch) as found:
        write(6)
    assert found == []
    assert set(Item.objects.uncached().values_list("price", flat=True)) == {6}


def test_what_is_kept_goes_with_the_settings(settings, monkeypatch):
    def write():
        Item.objects.filter(pk=2).update(price=7)

    write(), write(), write()
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    with compiled(monkeypatch) as found:
        write()
    assert found == [Item]


@pytest.mark.parametrize("atomic", [True, False])
def test_who_wrote_is_told_as_ever(atomic):
    def write():
        Item.objects.filter(pk=1).update(price=7)
        item = Item.objects.get(pk=2)
        item.save()

    for _ in range(TIMES):
        with seen() as events:
            if atomic:
                with transaction.atomic():
                    write()
            else:
                write()
        told = [(e.source, e.object_label, e.object_pk) for e in events.invalidations]
        assert told == [("update", "app.item", "1"), ("save", "app.item", "2")]
        assert not any(e.coarse for e in events.invalidations)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_row_that_moves_is_told_with_both_its_lists(atomic):
    item = Item.objects.get(pk=1)
    for turn in range(TIMES):
        item.category_id = 1 + (turn + 1) % 2
        with seen() as events:
            if atomic:
                with transaction.atomic():
                    item.save()
            else:
                item.save()
        (event,) = events.invalidations
        assert {tag.partition(":")[2] for tag in event.tags} >= {"category=1", "category=2"}


@pytest.fixture
def note():
    return Note.objects.create(pk=1, item_id=1, text="n")


def notes(item: int) -> list[int]:
    return [note.pk for note in Note.objects.filter(item=item)]


@pytest.mark.parametrize("atomic", [True, False])
def test_a_row_that_was_not_foreseen_to_move_leaves_its_list(note, atomic):
    """Of a model without rules, whose event is made ready while the UPDATE runs."""
    for turn in range(2 * TIMES):
        before, after = 1 + turn % 2, 2 - turn % 2
        assert (notes(before), notes(after)) == ([1], [])
        with transaction.atomic() if atomic else contextlib.nullcontext():
            Note.objects.filter(pk=1).update(item_id=after, text=f"n {turn}")
        assert (notes(before), notes(after)) == ([], [1])


def test_a_row_that_stays_is_told_with_what_was_foreseen(note, monkeypatch):
    as_foreseen, is_told = [], Foreseen.is_told

    def asked(self, pairs):
        as_foreseen.append(is_told(self, pairs))
        return as_foreseen[-1]

    monkeypatch.setattr(Foreseen, "is_told", asked)
    for turn in range(TIMES):
        notes(1)
        with seen() as events, transaction.atomic():
            Note.objects.filter(pk=1).update(item_id=1, text=f"n {turn}")
        (event,) = events.invalidations
        found = {tag.partition(":")[2] for tag in event.tags}
        assert found == {"*", "pk=1", "item=1"}
        assert (event.object_label, event.object_pk) == ("app.note", "1")
        assert outcome_of(lambda: notes(1)) == "miss"
    if tells_old(connection):
        assert as_foreseen[-1:] == [True], "the text is kept by then"
        assert all(as_foreseen)


def test_what_a_trigger_makes_of_a_value_is_what_is_told(note):
    """Of a model without rules: it was foreseen otherwise."""
    moves = "IF NEW.text = ''moves'' THEN NEW.item_id := 2; END IF"
    with trigger("app_note", moves):
        for _ in range(2 * TIMES):
            for text, expected in (("stays", ([1], [])), ("moves", ([], [1]))):
                notes(1), notes(2)
                with transaction.atomic():
                    Note.objects.filter(pk=1).update(item_id=1, text=text)
                assert (notes(1), notes(2)) == expected


@contextlib.contextmanager
def trigger(table, does):
    """Each UPDATE of a row of the table does this too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION changed() RETURNS trigger AS "
            f"'BEGIN {does}; RETURN NEW; END' LANGUAGE plpgsql"
        )
        cursor.execute(
            f"CREATE TRIGGER changed BEFORE UPDATE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION changed()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER changed ON {table}")
            cursor.execute("DROP FUNCTION changed")


def test_what_the_database_makes_of_a_value_is_what_is_told():
    """A trigger may store another value than it was given."""
    with trigger("app_item", "NEW.category_id := 2"):
        for pk in (1, 2, 1, 2):
            item = Item(pk=pk, name="i", sku=f"s{pk}", category_id=1, price=5)
            with seen() as events, transaction.atomic():
                item.save()
            (event,) = events.invalidations
            assert any(tag.endswith(":category=2") for tag in event.tags)


def test_a_refused_update_keeps_nobody_away():
    item = Item.objects.get(pk=1)
    item.save(), item.save(), item.save()
    item.sku = "s2"
    with pytest.raises(IntegrityError):
        item.save()
    current_store().settle()
    assert writers() == {}
    price(2), price(2)
    assert outcome_of(lambda: price(2)) == "hit"


@pytest.mark.parametrize("place", [0, 9], ids=["before ours", "after ours"])
@pytest.mark.parametrize("atomic", [True, False])
def test_a_wrapper_may_write_the_like_meanwhile(atomic, place):
    """A save within a save, on the same connection and by the same text."""
    first, second = Item.objects.get(pk=1), Item.objects.get(pk=2)
    for _ in range(TIMES):
        first.save(), second.save()
    busy = []

    def writes_too(execute, *args):
        if not busy:
            busy.append(True)
            second.price += 1
            second.save()
        return execute(*args)

    first.price += 1
    price(1), price(2)
    connection.execute_wrappers.insert(place, writes_too)
    try:
        with seen() as events:
            if atomic:
                with transaction.atomic():
                    first.save()
            else:
                first.save()
    finally:
        connection.execute_wrappers.remove(writes_too)
    assert sorted(event.object_pk for event in events.invalidations) == ["1", "2"]
    assert "wait" not in vars(connections["default"].connection)
    assert (price(1), price(2)) == (first.price, second.price)
    current_store().settle()
    assert writers() == {}


@pytest.mark.parametrize("change", [lambda sql: sql + " /* it */", lambda sql: sql[:] + " "])
def test_a_wrapper_that_changes_the_text_is_accounted_for(change):
    item = Item.objects.get(pk=1)
    for _ in range(TIMES):
        item.save()

    def changes(execute, sql, *more):
        return execute(change(sql), *more)

    price(1)
    item.price += 1
    connection.execute_wrappers.insert(0, changes)
    try:
        item.save()
    finally:
        connection.execute_wrappers.remove(changes)
    assert price(1) == item.price
    current_store().settle()
    assert writers() == {}


def test_a_wrapper_that_sends_nothing_leaves_nobody_away():
    item = Item.objects.get(pk=1)
    for _ in range(TIMES):
        item.save()

    class Refused(Exception):
        pass

    def refuses(execute, *args):
        raise Refused

    connection.execute_wrappers.insert(0, refuses)
    try:
        with pytest.raises(Refused):
            item.save()
    finally:
        connection.execute_wrappers.remove(refuses)
    current_store().settle()
    assert writers() == {}


@pytest.mark.parametrize(
    "values",
    [{"nothing": 1}, {"labels": [1]}, {"category__name": "a"}, {"notes": 1}, {"name": object()}],
    ids=lambda values: next(iter(values)),
)
def test_what_is_refused_leaves_the_transaction_as_django_does(values):
    """A call that is refused before anything is sent does not doom the transaction around it."""

    def refused(queryset):
        with transaction.atomic():
            try:
                queryset.filter(pk=1).update(**values)
            except Exception as error:
                return type(error), str(error), connection.needs_rollback
            finally:
                transaction.set_rollback(True)

    expected = refused(QuerySet(Item))
    Item.objects.filter(pk=1).exists()
    assert [refused(Item.objects) for _ in range(TIMES)] == [expected] * TIMES
