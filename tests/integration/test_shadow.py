"""SHADOW compares hits with the database: what is wrong is found, what has just moved is not."""

import threading
import time

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import Sum

from cachepatterns import stale_hit
from cachepatterns.observe import ShadowEvent
from cachepatterns.read import shadowing
from cachepatterns.stats.recorder import Recorder
from cachepatterns.stats.report import report
from tests.app.models import Item
from tests.events import eventually, seen
from tests.policies import policy_of


@pytest.fixture(autouse=True)
def shadowed(settings, monkeypatch):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHADOW": 1.0}
    monkeypatch.setattr(shadowing, "budget", shadowing._Budget())
    monkeypatch.setattr(shadowing, "PER_SECOND", 10_000)


def past_django(sql):
    """As any other program would: nothing of ours sees it."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    with psycopg.connect(**{name: parameters[name] for name in names}) as other:
        other.execute(sql)


def verdicts(found):
    return [event.verdict for event in found.events if isinstance(event, ShadowEvent)]


def reads(items):
    a = items[0].category_id
    return {
        "row": lambda: Item.objects.get(pk=items[0].pk),
        "bulk": lambda: Item.objects.in_bulk([items[0].pk]),
        "list": lambda: list(Item.objects.filter(category=a)),
        "values": lambda: list(Item.objects.filter(sku="s0").values_list("stock", flat=True)),
        "count": lambda: Item.objects.filter(stock=0).count(),
        "exists": lambda: Item.objects.filter(stock=0, sku="s0").exists(),
        "aggregate": lambda: Item.objects.filter(category=a).aggregate(Sum("stock")),
        "nothing": lambda: list(Item.objects.filter(stock=5)),
    }


@pytest.mark.parametrize(
    "name", ["row", "bulk", "list", "values", "count", "exists", "aggregate", "nothing"]
)
@pytest.mark.parametrize("shortcuts", [True, False], ids=["shortcuts", "compiled"])
def test_a_hit_that_is_right_is_fresh_and_one_that_is_wrong_is_found(
    goods, settings, name, shortcuts
):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
    read = reads(goods[2])[name]
    read()
    with seen() as found:
        read()
    assert verdicts(found) == ["fresh"]
    past_django("UPDATE app_item SET stock = 5 WHERE sku = 's0'")
    told = []

    def receiver(**kwargs):
        told.append(kwargs)

    stale_hit.connect(receiver)
    try:
        with seen() as found:
            wrong = read()
    finally:
        stale_hit.disconnect(receiver)
    assert verdicts(found) == ["stale"]
    assert wrong == read(), "the reader is served as ever"
    assert [(each["label"], ":app.item." in each["key"]) for each in told] == [("app.item", True)]
    assert "database" in told[0]["difference"]


def written_between(item):
    """The next statement is sent only after somebody has committed a write to `item`."""
    done = []

    def write():
        Item.objects.filter(pk=item.pk).update(stock=7)
        connection.close()

    def wait(execute, sql, params, many, context):
        if not done:
            done.append(True)
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wait)


def test_a_write_between_the_hit_and_the_comparison_is_no_alarm(goods):
    item = goods[2][0]
    Item.objects.get(pk=item.pk)
    with seen() as found, written_between(item):
        assert Item.objects.get(pk=item.pk).stock == 0
    assert verdicts(found) == ["moving"]


def test_nor_is_one_after_which_another_has_stored_the_new_row(goods, monkeypatch):
    item = goods[2][0]
    Item.objects.get(pk=item.pk)
    judge = shadowing._judge

    def later(question, payload, difference):
        shadowing._here.busy = True
        Item.objects.get(pk=item.pk)  # a miss: stored anew, under stamps that stand
        judge(question, payload, difference)

    monkeypatch.setattr(shadowing, "_judge", later)
    with seen() as found, written_between(item):
        Item.objects.get(pk=item.pk)
    assert verdicts(found) == ["moving"]


def test_an_eventual_writer_has_a_second_to_return(goods, monkeypatch):
    monkeypatch.setattr(shadowing, "PATIENCE", 0.05)
    item = goods[2][0]
    with policy_of(Item, consistency="eventual"):
        Item.objects.get(pk=item.pk)
        past_django("UPDATE app_item SET stock = 5 WHERE sku = 's0'")
        with seen() as found:
            Item.objects.get(pk=item.pk)
            assert verdicts(found) == []
            eventually(lambda: verdicts(found) == ["stale"])
        with seen() as found:
            Item.objects.get(pk=item.pk)
            Item.objects.filter(pk=item.pk).update(stock=6)  # its bump comes before the look
            eventually(lambda: verdicts(found) == ["moving"])


def test_a_transaction_goes_on_though_the_comparison_fails(goods, monkeypatch):
    a = goods[0]
    list(Item.objects.filter(category=a.pk))

    def fail(execute, sql, params, many, context):
        return execute("SELECT 1/0" if sql.startswith("SELECT") else sql, None, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(fail), seen() as found:
            assert len(Item.objects.filter(category=a.pk)) == 2
        assert verdicts(found) == []
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # PostgreSQL would refuse it in an aborted transaction
            assert cursor.fetchone() == (1,)


def test_its_cost_is_bounded(goods, monkeypatch):
    monkeypatch.setattr(shadowing, "PER_SECOND", 3)
    monkeypatch.setattr(shadowing.time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(shadowing, "budget", shadowing._Budget())
    pk = goods[2][0].pk
    Item.objects.get(pk=pk)
    with seen() as found:
        for _ in range(10):
            Item.objects.get(pk=pk)
    assert len(verdicts(found)) == 3


def test_of_an_answer_that_has_no_one_order_nothing_is_said(goods):
    for each in (0, 1):
        queryset = Item.objects.filter(stock=0).order_by("stock")[:2]
        list(queryset)
        if each:
            with seen() as found:
                list(queryset.all())
            assert verdicts(found) == ["unknown"] or verdicts(found) == ["fresh"]
        past_django("UPDATE app_item SET rating = 1 WHERE sku = 's3'")


def test_without_it_no_hit_asks_the_database(goods, settings, django_assert_num_queries):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHADOW": 0.0}
    pk = goods[2][0].pk
    Item.objects.get(pk=pk)
    with django_assert_num_queries(0):
        Item.objects.get(pk=pk)


def test_what_it_found_is_in_the_statistics(goods, silent_recorder):
    recorder = Recorder(background=False)
    recorder(ShadowEvent("app.item", "row:pk", "fresh"))
    recorder(ShadowEvent("app.item", "row:pk", "stale", "k", "d"))
    recorder.flush()
    done = report(at=time.time()).model("app.item").numbers.done
    assert done["shadowed: fresh"] >= 1
    assert done["shadowed: stale"] >= 1
