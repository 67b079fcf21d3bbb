"""Arguments that only Django's own code understands: the cache answers, or fails, alike."""

import uuid
from decimal import Decimal

import pytest
from django.core.cache import caches
from django.db import connection, connections
from django.db.models import F, Q, QuerySet, Value

from cachepatterns import uncached
from cachepatterns.read.plans import _ATTRIBUTE as PLANS
from cachepatterns.read.rowplans import _PLANS as ROW_PLANS
from tests.app.models import Category, CheapItem, Everything, Item, Place, Shop
from tests.calm import nobody_writes
from tests.differential.freezing import freeze

pytestmark = pytest.mark.django_db(transaction=True)
KEY = uuid.UUID(int=7)


@pytest.fixture
def rows(transactional_db, empty_cache):
    category = Category.objects.create(pk=1, name="a", slug="a")
    for pk in (1, 2):
        Item.objects.create(pk=pk, name="i", sku=f"s{pk}", category=category, price=pk)
    Everything.objects.create(pk=KEY)
    Shop.objects.create(pk=1, name="x")


def answer(text, queryset):
    """What the expression `text` over a queryset ``q`` gives or raises."""
    try:
        return eval(text, NAMES, {"q": queryset})
    except Exception as error:
        return error


def unlike(model, texts, **names) -> list[str]:
    """Those of `texts` to which the cache says something else than plain Django does."""
    NAMES.update(names)
    found = []
    for text in texts:
        with uncached():
            truth = freeze(answer(text, QuerySet(model)))
        manager = getattr(model, "objects", model._default_manager)
        # Twice: from the database, and from the cache.
        if any(freeze(answer(text, manager.all())) != truth for _ in range(2)):
            found.append(text)
    return found


class Odd:
    """No value of any field."""

    def __repr__(self) -> str:
        return "odd"


NAMES = {"Category": Category, "Item": Item, "Q": Q, "Value": Value}
KEYS = [
    1, 9, -1, 0, 2**31, 2**63, 2**70, True, 1.0, 1.5, Decimal("1.0"), "1", " 1 ", "01", "a", "",
    "1_0", b"1", None, float("nan"), float("inf"), (), [], (1,), [1], {}, {1}, Odd(), F("pk"),
    Value(1), KEY, str(KEY), KEY.hex, KEY.int, f"{{{KEY}}}", 10**12,
]  # fmt: skip


@pytest.mark.parametrize("model", [Item, CheapItem, Everything, Place, Shop])
def test_whatever_is_given_as_a_key_finds_or_fails_alike(rows, model):
    texts = [
        "q.get(pk=key)",
        f"q.get({model._meta.pk.name}__exact=key)",
        f"q.get(Q({model._meta.pk.name}=key))",
        "q.filter(pk=key).first()",
        "q.filter(pk__in=[key]).exists()",
        "q.in_bulk([key])",
    ]
    assert {repr(key): found for key in KEYS if (found := unlike(model, texts, key=key))} == {}


def test_none_in_a_field_that_may_hold_null_finds_nothing(rows):
    """NULL equals nothing, though ``filter(field=None)`` means IS NULL."""
    Everything.objects.create(pk=uuid.UUID(int=8), unique_or_null="a")
    texts = [
        f"q.in_bulk({values}, field_name='unique_or_null')"
        for values in ("[None]", "['a', None]", "[None, 'a']", "['a']", "[None, None]")
    ]
    assert unlike(Everything, [*texts, "q.get(unique_or_null=None)"]) == []


GET = [
    "q.get()",
    'q.get(pk=1, name="i")',
    "q.get(Q(pk=1), pk=2)",
    "q.get(Q(pk=1) | Q(pk=2))",
    "q.get(~Q(pk=1))",
    "q.get(Q(Q(pk=1)))",
    "q.get(Q())",
    "q.get(pk__in=[1])",
    "q.get(pk__gt=1)",
    "q.get(pk=q.get(pk=1))",
    "q.get(pk=q.filter(pk=1))",
    'q.get(pk=q.values("pk").filter(pk=1))',
    "q.get(nothing=1)",
    "q.get(pk__nothing=1)",
    "q.all()[:1].get(pk=1)",
    "q.all()[:1].get()",
    "q.none().get(pk=1)",
    "q.distinct().get(pk=1)",
    "q.filter(stock=0).get(pk=1)",
    "q.filter(stock=1).get(pk=1)",
    'q.values("pk").get(pk=1)',
    'q.values_list("pk", flat=True).get(pk=1)',
    'q.only("name").get(pk=1)',
    'q.defer("name").get(pk=1)',
    "q.annotate(two=Value(2)).get(pk=1)",
    'q.select_related("category").get(pk=1)',
    'q.prefetch_related("labels").get(pk=1)',
    "q.union(q.filter(pk=2)).get(pk=1)",
    'q.extra(select={"two": "2"}).get(pk=1)',
    "q.reverse().get(pk=2)",
    'q.using("default").get(pk=1)',
    "q.get(category=Category(pk=1), pk=1)",
    "q.get(category=Item(pk=1), pk=1)",
    'q.get(category_id="1", pk="1")',
]
IN_BULK = [
    "q.in_bulk()",
    "q.in_bulk([])",
    'q.in_bulk([1, 1, "1", 9])',
    "q.in_bulk(iter([1, 2]))",
    "q.in_bulk(range(5))",
    "q.in_bulk({1, 2})",
    "q.in_bulk([1, None])",
    'q.in_bulk([1, "a"])',
    "q.in_bulk([q.get(pk=1)])",
    "q.in_bulk(5)",
    "q.in_bulk(0)",
    "q.in_bulk(False)",
    'q.in_bulk("")',
    "q.in_bulk(q.none())",
    'q.in_bulk([], field_name="stock")',
    'q.in_bulk(0, field_name="sku")',
    'q.in_bulk("12")',
    'q.in_bulk(q.values("pk"))',
    "q.in_bulk([2**70, 1])",
    'q.in_bulk(["s1", "s9"], field_name="sku")',
    'q.in_bulk([1], field_name="id")',
    'q.in_bulk([1], field_name="stock")',
    'q.in_bulk([1], field_name="nothing")',
    "q.all()[:1].in_bulk([1])",
    'q.values("pk").in_bulk([1])',
    'q.order_by("-pk").in_bulk([1, 2])',
    "list(q.reverse().in_bulk([1, 2]))",
    'list(q.extra(order_by=["-sku"]).in_bulk([1, 2]))',
]
OTHER = [
    "q.first()",
    "q.earliest()",
    'q.latest("nothing")',
    "q[5]",
    "q[-1]",
    "q[1:1]",
    'list(q.filter(category__in=[Category(pk=1), 1, "1"]))',
    'list(q.filter(sku__in=["s1", None]))',
    'list(q.filter(active="t"))',
    'list(q.filter(active="maybe"))',
    'list(q.filter(stock="0"))',
    "list(q.filter(stock=0.0))",
    "list(q.filter(stock=True))",
    "list(q.filter(sku=1))",
    "q.contains(Item(pk=1))",
    'list(q.order_by("pk").values_list("sku", flat=[]))',
    "q.contains(Item())",
    "q.contains(Category(pk=1))",
]


@pytest.mark.parametrize("texts", [GET, IN_BULK, OTHER], ids=["get", "in_bulk", "other"])
def test_unusual_calls_give_or_raise_what_django_does(rows, texts):
    assert unlike(Item, texts) == []


KEYED = [
    "q.get(pk=key)",
    "q.get(sku=key)",
    "q.in_bulk([key])",
    'q.in_bulk([key], field_name="sku")',
    "q.filter(pk=key).count()",
    "q.filter(category=key).exists()",
    "list(q.filter(sku=key))",
    "list(q.filter(pk__in=[key, 2]))",
    'list(q.filter(stock__lte=key).values_list("pk"))',
    "q.filter(active=key).first()",
    "list(q.exclude(second=key))",
]


@pytest.mark.parametrize("text", KEYED)
def test_an_odd_argument_leaves_nothing_to_those_who_ask_later(rows, text):
    """Of queries of one kind plans and texts are kept, and are complete with the second: that one
    is odd. None of them finds anything cached."""
    redis = caches["default"].client.get_client(write=True)
    usual = "s1" if "sku" in text else 1
    wrong = []
    for odd in KEYS:
        for kept in (PLANS, ROW_PLANS):
            vars(connections["default"]).pop(kept, None)
        for key in (usual, odd, usual):
            redis.flushdb()
            nobody_writes()
            if unlike(Item, [text], key=key):
                wrong.append((odd, key))
    assert wrong == []


def test_more_keys_than_the_database_takes_parameters_are_asked_for_in_parts(
    rows, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(connection.features, "max_query_params", 4)
    with django_assert_num_queries(3):
        assert Item.objects.in_bulk(range(10)).keys() == {1, 2}
    with django_assert_num_queries(1):
        assert Item.objects.in_bulk(range(4)).keys() == {1, 2}
