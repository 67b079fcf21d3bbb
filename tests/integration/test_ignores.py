"""`ignores`: counters do not invalidate what they count, and what goes by them stays exact."""

import pytest
from django.db import connection, transaction
from django.db.models import Count, F, Max, Q
from django.test.utils import CaptureQueriesContext

from cachepatterns.checks.policies import check_policies
from cachepatterns.verifying import verify
from tests.app.models import Category, Item, Note
from tests.events import outcome_of, seen
from tests.integration.threads import Gate, running
from tests.policies import policy_of

pytestmark = pytest.mark.without_outbox


@pytest.fixture
def ignoring(goods):
    """The items' rating is a counter that nobody wants to know of."""
    Item.objects.update(rating=0)
    with policy_of(Item, ignores=["rating"], ttl=600):
        yield goods


def save_one_field(item):
    item.rating = 5
    item.save(update_fields=["rating"])


def save_in_a_transaction(item):
    with transaction.atomic():
        save_one_field(item)


def by_sql(item):
    with connection.cursor() as cursor:
        cursor.execute('UPDATE "app_item" SET "rating" = 5 WHERE "id" = %s', [item.pk])


def in_bulk(item):
    item.rating = 5
    Item.objects.bulk_update([item], ["rating"])


WRITES = {
    "update": lambda item: Item.objects.filter(pk=item.pk).update(rating=5),
    "F()": lambda item: Item.objects.filter(pk=item.pk).update(rating=F("rating") + 5),
    "all rows": lambda item: Item.objects.update(rating=5),
    "save(update_fields)": save_one_field,
    "save in a transaction": save_in_a_transaction,
    "bulk_update": in_bulk,
    "raw SQL": by_sql,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_of_ignored_fields_alone_invalidates_no_row_and_no_list(ignoring, write):
    a, _, items = ignoring
    reads = [
        lambda: Item.objects.get(pk=items[0].pk),
        lambda: Item.objects.get(sku="s0"),
        lambda: list(Item.objects.filter(category=a)),
        lambda: list(Item.objects.order_by("-price")),
        lambda: Item.objects.filter(active=True).count(),
    ]
    for read in reads:
        read()
    with seen() as found:
        write(items[0])
    assert [event.tags[0].partition(":")[2] for event in found.invalidations] == ["ignored"]
    assert [outcome_of(read) for read in reads] == ["hit"] * len(reads)


USING = {
    "condition": lambda: list(Item.objects.filter(rating__gt=1)),
    "ordering": lambda: list(Item.objects.order_by("-rating")[:2]),
    "ordering by position": lambda: list(Item.objects.order_by("rating").values_list("rating")),
    "annotation": lambda: list(Item.objects.annotate(more=F("rating") + 1)),
    "aggregate": lambda: Item.objects.aggregate(most=Max("rating")),
    "count": lambda: Item.objects.filter(rating__gt=1).count(),
    "exists": lambda: Item.objects.filter(rating__gt=1).exists(),
    "distinct": lambda: list(Item.objects.values_list("rating").distinct()),
    "grouped": lambda: list(
        Item.objects.order_by("rating").values("rating").annotate(n=Count("pk"))
    ),
    "join": lambda: list(Note.objects.filter(item__rating__gt=1)),
    "subquery": lambda: list(
        Category.objects.filter(pk__in=Item.objects.filter(rating__gt=1).values("category"))
    ),
    "Q": lambda: list(Item.objects.filter(Q(rating__gt=1) | Q(price=3))),
}  # fmt: skip


@pytest.mark.parametrize("read", USING.values(), ids=USING)
@pytest.mark.parametrize("write", ["update", "save in a transaction"])
def test_what_goes_by_an_ignored_field_stays_exact(ignoring, read, write):
    before = repr(read())
    assert repr(read()) == before
    WRITES[write](ignoring[2][0])
    again = read()
    with policy_of(Item, tier="never"), policy_of(Note, tier="never"):
        assert repr(again) == repr(read())


def test_what_is_shown_of_it_may_be_as_old_as_the_entry(ignoring):
    item = ignoring[2][0]
    Item.objects.get(pk=item.pk)
    WRITES["update"](item)
    assert Item.objects.get(pk=item.pk).rating == 0
    Item.objects.filter(pk=item.pk).update(price=7)
    assert Item.objects.get(pk=item.pk).rating == 5


MORE = {
    "another field too": lambda item: Item.objects.filter(pk=item.pk).update(rating=5, stock=5),
    "save()": lambda item: item.save(),
    "delete": lambda item: item.delete(),
}


@pytest.mark.parametrize("write", MORE.values(), ids=MORE)
def test_what_writes_more_than_that_invalidates(ignoring, write):
    item = ignoring[2][0]

    def read():
        return list(Item.objects.filter(pk=item.pk))

    read()
    write(item)
    assert outcome_of(read) == "miss"


def test_no_statement_is_added(ignoring):
    with CaptureQueriesContext(connection) as asked:
        WRITES["update"](ignoring[2][0])
    assert len(asked) == 1
    assert "RETURNING" not in asked[0]["sql"]


def test_between_the_statement_and_its_commit_nobody_keeps_the_old_order(ignoring):
    """The most rated are read after the UPDATE and before its COMMIT."""
    item, gate = ignoring[2][3], Gate()

    def write():
        with transaction.atomic():
            Item.objects.filter(pk=item.pk).update(rating=9)
            gate.wait()

    def best():
        return Item.objects.order_by("-rating", "pk")[0].pk

    with running(write) as done:
        assert gate.reached.wait(20)
        assert best() == ignoring[2][0].pk
        assert outcome_of(lambda: Item.objects.get(pk=item.pk)) == "miss"
        assert outcome_of(lambda: Item.objects.get(pk=item.pk)) == "hit"  # it concerns no row
        gate.open.set()
        done()
    assert best() == item.pk


def test_verifying_calls_an_ignored_value_not_stale(ignoring):
    item = ignoring[2][0]
    Item.objects.get(pk=item.pk)
    WRITES["update"](item)
    found = verify()
    assert (found.checked, found.stale) == (1, 0)
    with policy_of(Item, ignores=[]):  # a key of its own: what it rests on is another thing
        assert Item.objects.get(pk=item.pk).rating == 5


REFUSED = {
    "ratign": "no field.*",
    "id": "rows are found by it",
    "sku": "rows are found by it",
    "category": "rows are found by it",
    "stock": "lists are told apart by it",
    "labels": "no column",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_ignored_is_said_and_invalidates(goods, name):
    with policy_of(Item, ignores=[name]):
        (found,) = [error for error in check_policies() if error.id == "cachepatterns.E060"]
        assert name in found.msg
        assert name != "ratign" or "rating" in found.hint
        Item.objects.get(pk=goods[2][0].pk)
        Item.objects.filter(pk=goods[2][0].pk).update(stock=9)
        assert Item.objects.get(pk=goods[2][0].pk).stock == 9


def test_an_explanation_says_why(ignoring):
    told = str(Item.objects.order_by("-rating").explain_cache())
    assert "it goes by a field that the policy of app.item ignores" in told
