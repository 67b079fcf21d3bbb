import json
import random
import threading

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import F, Sum

from cachepatterns.backends.store import current_store
from cachepatterns.core.asked import pack
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.read.rowplans import RowPlan
from cachepatterns.verifying import Verified, verify
from tests.app.models import Category, Item


@pytest.fixture(autouse=True, params=["compiled", "shortcuts"])
def everything_can_be_asked_again(request, settings, own_prefix):
    shortcuts = request.param == "shortcuts"
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "VERIFY_SHARE": 1,
        "SHORTCUTS": shortcuts,
    }


def read(items):
    """A read of each sort."""
    for item in items:
        Item.objects.get(pk=item.pk)
    category = items[0].category_id
    list(Item.objects.filter(category=category, price__gte="0.50", made=None))
    list(Item.objects.filter(category__slug="chairs").select_related("category")[:2])
    list(Item.objects.values_list("name", flat=True).order_by("-price", "pk")[1:3])
    Item.objects.filter(category=category).count()
    Item.objects.aggregate(Sum("stock"), Sum("rating"))
    Item.objects.filter(sku="a").exists()
    Item.objects.filter(sku="nobody's").first()
    Category.objects.get(slug="chairs")


def past_django(sql):
    """As any other program would: nothing of ours sees it."""
    parameters = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    with psycopg.connect(**{name: parameters[name] for name in names}) as other:
        other.execute(sql)


def test_what_was_written_through_django_is_never_stale(run, items):
    read(items)
    Item.objects.filter(pk=items[0].pk).update(price=F("price") + 1)
    items[1].delete()
    Item.objects.create(name="d", sku="d", category=items[0].category, price=2)
    read([items[0], items[2]])
    ran = run("cache_verify")
    assert ran.code == 0, ran.out
    found = verify()
    assert (found.stale, found.unknown) == (0, 0)
    assert found.checked >= 8


def test_what_was_written_past_django_is_found_and_told(run, items):
    read(items)
    past_django("UPDATE app_item SET name = 'other', stock = 5 WHERE sku = 'a'")
    ran = run("cache_verify", "app.Item")
    assert ran.code == 1
    assert ":row:app.item." in ran.out
    assert "'other'" in ran.out
    assert "SELECT" in ran.out
    assert "stale per million" in ran.out
    found = json.loads(run("cache_verify", "--json").out)
    # The row, the two lists and the sum; not the count, nor the names of the others.
    assert found["stale"] == len(found["findings"]) == 4
    assert found["stale_per_million"] > 0
    assert run("cache_verify", "--fail-over", "999999").code == 0
    assert run("cache_verify", "app.Category").code == 0


def test_writers_at_work_are_no_false_alarm(items):
    over, failures = threading.Event(), []

    def write(seed):
        dice = random.Random(seed)
        try:
            while not over.is_set():
                pk = dice.choice(items).pk
                if dice.random() < 0.5:
                    Item.objects.filter(pk=pk).update(stock=F("stock") + 1)
                else:
                    with transaction.atomic():
                        Item.objects.filter(pk=pk).update(stock=F("stock") + 1)
                read(items)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    found = Verified()
    try:
        for _ in range(400):
            if found.checked >= 20:
                break
            found += verify(sample=10)
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
    assert failures == []
    assert found.checked >= 20
    assert found.stale == 0, found.findings


def test_a_write_between_the_entry_and_the_question_is_no_false_alarm(items, monkeypatch):
    for item in items:
        Item.objects.get(pk=item.pk)
    load = RowPlan.load

    def load_late(self, values):
        Item.objects.filter(pk__in=values).update(stock=F("stock") + 1)
        return load(self, values)

    monkeypatch.setattr(RowPlan, "load", load_late)
    found = verify()
    assert (found.checked, found.stale, found.moving) == (0, 0, len(items))


def test_an_order_that_the_database_may_choose_is_not_held_against_it(items):
    Item.objects.update(price=1)
    list(Item.objects.order_by("price")[:2])
    list(Item.objects.order_by("-price", "name")[:2])
    list(Item.objects.order_by("price"))
    past_django("UPDATE app_item SET name = 'z' WHERE sku = 'a'")
    found = verify()
    # The two slices may be right; that not one of all rows has this name any more can't be.
    assert (found.unknown, found.stale) == (2, 1)


def test_nothing_is_kept_beside_entries_if_so_set(run, settings, items):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 0}
    read(items)
    found = verify()
    # The items by their keys, and the category by its slug.
    assert found.by_label == {"app.item": len(items), "app.category": 1}
    assert found.unknown == 0


def test_a_statement_that_we_did_not_store_is_not_run(items, settings, own_prefix):
    """Who can write to Redis can not run SQL, be it by a forged or by an exchanged question."""
    read(items)
    client = current_store().backend._client()
    keys = sorted(client.scan_iter(match=f"{own_prefix}:asked:app.item.*"))
    questions = [client.get(key) for key in keys]
    forged = pack(
        "default",
        "DELETE FROM app_item",
        [],
        stamps=[],
        guards=[],
        single=True,
        columns=None,
        ordered=True,
    )
    for key, question in zip(keys, questions[1:] + questions[:1], strict=True):
        client.set(key, question)
    client.set(keys[0], b"\x00" * 32 + forged)
    found = verify()
    assert found.unknown == len(keys)
    assert Item.objects.uncached().count() == len(items)


def test_an_empty_cache_is_told(run, items):
    ran = run("cache_verify")
    assert (ran.code, ran.out[:18]) == (0, "0 entries checked,")
    assert "no live entry" in ran.err


def test_within_a_transaction_it_does_not_run(items):
    with pytest.raises(CachePatternsError, match="transaction"), transaction.atomic():
        verify()


@pytest.mark.parametrize(
    "words", [["--sample", "0"], ["--fail-over", "-1"], ["nobody.Knows"]], ids=str
)
def test_wrong_words_are_usage(run, words):
    assert run("cache_verify", *words).code == 2


def test_without_redis_it_says_so(run, redis_down):
    assert run("cache_verify").code == 4
