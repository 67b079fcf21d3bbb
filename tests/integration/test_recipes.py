"""Recipes: a call that is noted makes no difference to anybody."""

import copy
import datetime
import pickle
import random
import threading
import uuid
import warnings
from decimal import Decimal

import pytest
from django.db import connections, models
from django.db.models import CharField, Q, QuerySet
from django.db.models.lookups import Exact
from django.db.models.query import ValuesIterable
from django.test.utils import isolate_apps, register_lookup
from django.utils.connection import ConnectionDoesNotExist

from cachepatterns import CachedManager
from cachepatterns.converting import cached_class
from cachepatterns.noting import _handed_on
from cachepatterns.queryset import CachedQuerySet
from cachepatterns.read import plans, recipe
from cachepatterns.read.plans import plain, plans_of
from cachepatterns.read.shape import shape_of
from tests.app.models import CheapItem, Everything, Item
from tests.events import seen

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"])

NAMES = ["pk", "name", "price", "category", "category__name", "nothing", "-price", "?"]
VALUES = [
    1,
    2,
    "a",
    "b",
    "now",
    "12",
    True,
    False,
    None,
    1.5,
    Decimal("1.50"),
    Decimal("NaN"),
    datetime.date(2026, 1, 2),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    uuid.UUID(int=5),
    [1, 2],
    models.F("stock"),
]
LOOKUPS = [
    "pk",
    "pk__gt",
    "pk__in",
    "sku",
    "name",
    "name__icontains",
    "name__startswith",
    "price",
    "price__gte",
    "stock",
    "stock__lt",
    "rating__isnull",
    "active",
    "made__lt",
    "category",
    "category_id",
    "category__name",
    "category__parent__name",
    "second__name",
    "labels__name",
    "nothing",
    "name__nothing",
    "_connector",
]
SLICES = [slice(None, 3), slice(1, 3), slice(2, None), slice(0, 4), slice(3, 3), slice(-1), 1]


METHODS = [
    *["filter"] * 3,
    "exclude",
    "order_by",
    "reverse",
    "distinct",
    "values",
    "values_list",
    "select_related",
    "only",
    "defer",
    "__getitem__",
    "all",
    "using",
]


def call(rng):
    """A call of any of the methods, right or wrong."""
    method = rng.choice(METHODS)
    if method in ("filter", "exclude"):
        return method, (), {n: rng.choice(VALUES) for n in rng.sample(LOOKUPS, rng.choice([1, 2]))}
    if method == "__getitem__":
        return method, (rng.choice(SLICES[:-1]),), {}
    if method in ("reverse", "all"):
        return method, (), {}
    if method == "using":
        return method, ("default",), {}
    kwargs = {"flat": True} if method == "values_list" and rng.random() < 0.5 else {}
    return method, tuple(rng.sample(NAMES, rng.choice([0, 1, 1, 2]))), kwargs


def made(queryset, calls):
    """What comes of the calls: a queryset, or where which error was raised."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for number, (method, args, kwargs) in enumerate(calls):
            try:
                queryset = getattr(queryset, method)(*args, **kwargs)
            except Exception as error:
                return number, type(error), str(error), len(warned)
    return queryset, len(warned)


def chains(count, seed):
    """Random calls, each with the same again with other values: what is known is noted then."""
    rng = random.Random(seed)
    for _ in range(count):
        yield [call(rng) for _ in range(rng.randint(1, 4))]


def stock(using="default"):
    """Django's own queryset of the same model."""
    return QuerySet(Item, using=using)


def sql_of(queryset):
    try:
        sql, params = plain(queryset.query).get_compiler("default").as_sql()
    except Exception as error:
        return type(error), str(error)
    return sql, repr(params)


def state_of(queryset):
    known = vars(queryset)
    return {name: known[name] for name in (*_handed_on, "_hints") if name in known}


def beginning(calls, number):
    """A queryset of all rows, or now and then its manager, where that has the first method."""
    if number % 2 and calls[0][0] in ("filter", "exclude"):
        return ON_DEFAULT
    return CachedQuerySet(Item, using="default")


ON_DEFAULT = Item.objects.db_manager("default")


def test_the_same_calls_make_the_same_query_or_raise_the_same_error_at_once():
    noted = wrong = 0
    for calls in chains(1200, seed=4):
        expected = made(stock(), calls)
        for number in range(3 + len(calls)):
            found = made(beginning(calls, number), calls)
            if not isinstance(expected[0], QuerySet):
                wrong += 1
                assert found == expected
                break
            assert found[1] == expected[1]
            noted += found[0]._cachepatterns_recipe is not None
            assert state_of(found[0]) == state_of(expected[0])
            assert sql_of(found[0]) == sql_of(expected[0])
    assert noted > 500
    assert wrong > 300


def test_a_recipe_asks_what_its_query_asks(monkeypatch):
    # Of what is forgotten a new one is made, and so it is while the first plan after an earlier
    # test's models notices that these have gone: that plan is made here, and not below.
    monkeypatch.setattr(plans, "MAX_PLANS", 100_000)
    connection = connections["default"]
    vars(connection).pop(plans._ATTRIBUTE, None)
    known, first = plans_of(connection), Item.objects.all().query
    known.of_shape(first, shape_of(first), plans.ROWS, "default")
    asked = 0
    for calls in chains(1200, seed=5):
        for _ in range(2 + len(calls)):
            queryset, *_rest = made(Item.objects.all(), calls)
        noted = getattr(queryset, "_cachepatterns_recipe", None)
        if noted is None:
            continue
        shaped = shape_of(queryset._chain().query)
        assert repr(noted.shaped()) == repr(shaped[1])
        if not isinstance(sql_of(queryset)[0], str):
            continue  # Django refuses it once it is evaluated
        for operation in (plans.ROWS, "count"):
            plan = known.of_recipe(noted, operation, "default", lambda q=queryset: q.query)
            other = known.of_shape(queryset.query, shaped, operation, "default")
            assert plan is other
            asked += plan is not None
    assert asked > 300


def noted(**kwargs):
    """A queryset whose query was not built."""
    for _ in range(3):
        queryset = Item.objects.filter(**kwargs)
    assert queryset._cachepatterns_recipe is not None
    return queryset


def test_hits_build_no_query(goods, monkeypatch):
    a, b, _items = goods

    def ask(category):
        rows = Item.objects.filter(category_id=category.pk)
        ordered = rows.order_by("-price", "pk").select_related("category")
        return (
            [(item.name, item.category.name) for item in ordered[:3]],
            rows.count(),
            rows.exists(),
            rows.aggregate(models.Max("price")),
            list(ordered.values_list("name", flat=True)),
            list(rows.order_by("pk").values("pk", "category__name")),
            Item.objects.get(sku="s1").name,
        )

    for _ in range(4):
        first = ask(a), ask(b)
    monkeypatch.setattr("cachepatterns.building.carried_out", None)
    with seen() as events:
        assert (ask(a), ask(b)) == first
    assert {*events.outcomes} == {"hit"}


def test_a_queryset_that_is_copied_or_combined_is_as_django_s(goods):
    def ours():
        return noted(stock__gte=0)

    def theirs():
        return stock().filter(stock__gte=0)

    ways = {
        "pickle": lambda q: pickle.loads(pickle.dumps(q)),
        "pickled query": lambda q: pickle.loads(pickle.dumps(q.query)),
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "or": lambda q: q | q.filter(name="item 1"),
        "and": lambda q: q & q.filter(name="item 1"),
        "xor": lambda q: q ^ q.filter(name="item 1"),
        "union": lambda q: q.union(q.filter(name="item 1")),
        "subquery": lambda q: q.filter(pk__in=q.filter(name="item 1").values("pk")),
        "exists": lambda q: q.filter(
            models.Exists(q.filter(name="item 1", pk=models.OuterRef("pk")))
        ),
        "annotate": lambda q: q.annotate(n=models.Count("labels")),
        "prefetch": lambda q: q.prefetch_related("labels"),
        "none": lambda q: q.none(),
        "complex filter": lambda q: q.complex_filter({"name": "item 1"}),
        "iterator": lambda q: list(q.order_by("pk").iterator()),
        "first": lambda q: q.first(),
        "last": lambda q: q.last(),
        "index": lambda q: q.order_by("pk")[1],
        "str": lambda q: str(q.query),
        "in_bulk": lambda q: q.in_bulk(),
        "ordered": lambda q: q.ordered,
    }
    for name, way in ways.items():
        found, expected = way(ours()), way(theirs())
        if isinstance(expected, QuerySet):
            assert sql_of(found) == sql_of(expected), name
            found, expected = list(found), list(expected)
        elif isinstance(expected, models.sql.Query):
            found, expected = str(found), str(expected)
        assert found == expected, name
    assert copy.copy(ours())._result_cache is not None  # Django's way


def test_what_a_queryset_has_stays_with_it_and_goes_on_to_its_clones():
    """Every attribute that Django's `_clone` hands on is handed on by ours, and no other."""
    ours, theirs = noted(pk=1), stock()
    marks = {name: (object(),) for name in vars(theirs) if name not in ("_query", "model")}
    vars(theirs).update(marks, _sticky_filter=False, _deferred_filter=None)
    vars(ours).update(marks, _sticky_filter=False, _deferred_filter=None)
    expected, found = vars(QuerySet._clone(theirs)), vars(ours._clone())
    assert {n for n in marks if expected[n] is marks[n]} == {
        n for n in marks if found[n] is marks[n]
    }
    assert found.keys() - {"_cachepatterns_calls"} == expected.keys() - {"_query"}


def test_a_queryset_whose_class_is_changed_keeps_its_query():
    class Other(QuerySet):
        pass

    queryset = noted(pk=1)
    queryset.__class__ = Other
    assert type(queryset) is Other
    assert '"id" = 1' in str(queryset.query)
    assert type(queryset.all()) is Other


def test_an_iterable_of_somebody_s_own_stays():
    class Own(ValuesIterable):
        pass

    for _ in range(4):
        queryset = Item.objects.values("pk")
        queryset._iterable_class = Own
        queryset = queryset.filter(pk=1).order_by("pk")
    assert queryset._cachepatterns_recipe is not None
    assert queryset._iterable_class is Own


def test_hints_are_no_clone_s_to_give_to_its_parent():
    parent = noted(pk=1)
    parent.all()._add_hints(instance=1)
    assert parent._hints == {}


def test_a_lookup_that_is_registered_later_is_the_one_that_is_used():
    class Never(Exact):
        def as_sql(self, compiler, connection):
            return "1 = 0", ()

    base = noted(name="a").all()
    assert "1 = 0" not in str(noted(name="a").query)
    with register_lookup(CharField, Never):
        for queryset in (Item.objects.filter(name="a"), base.filter(name="b")):
            assert "1 = 0" in str(queryset.query)
    field = Item._meta.get_field("name")
    with register_lookup(field, Never):
        for queryset in (Item.objects.filter(name="a"), base.filter(name="b")):
            assert "1 = 0" in str(queryset.query)
    assert "1 = 0" not in str(Item.objects.filter(name="a").query)


def test_an_answer_under_another_lookup_is_not_served(goods):
    class Never(Exact):
        def as_sql(self, compiler, connection):
            return "1 = 0", ()

    def ask():
        rows = Item.objects.all()
        return [
            Item.objects.filter(sku="s1").count(),
            rows.filter(sku="s1").count(),
            len(Item.objects.filter(sku="s1").order_by("pk")),
        ]

    for _ in range(4):
        assert ask() == [1, 1, 1]
    with register_lookup(CharField, Never):
        assert ask() == [0, 0, 0]
    assert ask() == [1, 1, 1]


class Marked(QuerySet):
    def filter(self, *args, **kwargs):
        return super().filter(*args, **kwargs).exclude(name="hidden")


class Copied(QuerySet):
    def _clone(self):
        clone = super()._clone()
        clone.mine = getattr(self, "mine", 0) + 1
        return clone


class Above(CachedQuerySet):
    def filter(self, *args, **kwargs):
        return super().filter(*args, **kwargs).exclude(name="hidden")


@pytest.mark.parametrize("base", [Marked, Copied, Above])
def test_a_class_with_ways_of_its_own_is_never_passed_by(base):
    cls = cached_class(base)
    for _ in range(3):
        queryset = cls(Item).filter(sku="a")
        if base is Copied:
            assert queryset.mine == 1
        else:
            assert "hidden" in str(queryset.query)


def test_a_class_with_ways_of_its_own_is_asked_for_single_rows_too(goods):
    for base in (Marked, Above):
        rows = cached_class(base)(Item)
        sku = goods[2][0].sku
        Item.objects.filter(sku=sku).update(name="hidden")
        with pytest.raises(Item.DoesNotExist):
            rows.get(sku=sku)
        Item.objects.filter(sku=sku).update(name="shown")
        assert rows.get(sku=sku).name == "shown"


def manager(cls):
    """A manager of items of that class."""
    found = cls()
    found.model = Item
    return found


class Without(CachedManager):
    def get_queryset(self):
        return super().get_queryset().exclude(name="hidden")


@pytest.mark.parametrize("base", [Marked, Above])
def test_a_manager_filters_as_its_querysets_do(base):
    managers = [CachedManager.from_queryset(base), Without, CachedManager.from_queryset(Copied)]
    for cls in managers:
        for _ in range(3):
            queryset = manager(cls).filter(sku="a")
            if cls is managers[-1]:
                assert queryset.mine == 1
            else:
                assert "hidden" in str(queryset.query)
    for _ in range(3):
        assert type(manager(CachedManager).filter(sku="a")) is CachedQuerySet
        assert type(manager(managers[0]).filter(sku="a")) is not CachedQuerySet


def test_a_manager_s_database_and_hints_are_its_querysets_and_nothing_is_shared():
    noted(sku="a")
    hints = {"instance": Item()}
    first = Item.objects.db_manager("sqlite", hints=hints).filter(sku="a")
    assert first._cachepatterns_recipe is not None
    assert (first._db, first._hints) == ("sqlite", hints)
    first._known_related_objects["category"] = {}
    first._add_hints(other=1)
    second = Item.objects.filter(sku="a")
    assert (second._db, second._hints, second._known_related_objects) == (None, {}, {})
    assert CheapItem.objects.filter(sku="a").model is CheapItem


def test_a_relation_s_manager_filters_within_the_relation(goods):
    a, b, _items = goods
    for _ in range(3):
        ours, theirs = a.items.filter(stock__gte=0), b.items.filter(stock__gte=0)
        assert {item.category_id for item in ours} == {a.pk}
        assert {item.category_id for item in theirs} == {b.pk}
        assert next(iter(ours)).category is a


class Living(QuerySet):
    """Leaves out what is deleted, from its beginning on."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not self.query.where:
            self.query.add_q(Q(active=True))


class WithLabels(QuerySet):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._prefetch_related_lookups = ("labels",)


class Elsewhere(QuerySet):
    @property
    def db(self):
        return "nowhere"


def test_a_manager_gets_what_its_querysets_are_from_their_beginning(goods):
    item = goods[2][0]
    Item.objects.filter(pk=item.pk).update(active=False)
    for _ in range(2):
        with pytest.raises(Item.DoesNotExist):
            manager(CachedManager.from_queryset(Living)).get(pk=item.pk)
        found = manager(CachedManager.from_queryset(WithLabels)).get(pk=item.pk)
        assert "labels" in found._prefetched_objects_cache
        with pytest.raises(ConnectionDoesNotExist):
            manager(CachedManager.from_queryset(Elsewhere)).get(pk=item.pk)


class Told(QuerySet):
    """Says something of each instance that it hands out."""

    def __iter__(self):
        for found in super().__iter__():
            found.was_told = True
            yield found


def test_a_class_that_iterates_in_a_way_of_its_own_is_asked_for_rows_in_bulk(goods):
    key = goods[2][0].pk
    for _ in range(2):
        assert manager(CachedManager.from_queryset(Told)).in_bulk([key])[key].was_told


class Overtaken(dict):
    """What a queryset holds; another thread builds its query before it is copied."""

    def copy(self):
        threading.Thread(target=self.builds).start()
        self.is_built.wait()
        return dict(self)


def test_a_query_that_another_thread_builds_meanwhile_is_not_the_clone_s(goods):
    """The clone would go by it, and forget the call that was noted on it."""
    for _ in range(3):
        shared = Item.objects.filter(stock__gte=0)
        shared.filter(sku="s1")
    held = shared.__dict__ = Overtaken(vars(shared))
    held.is_built = threading.Event()
    held.builds = lambda: (shared.query, held.is_built.set())
    found = shared.filter(sku="s1")
    assert held.is_built.is_set()
    assert [item.sku for item in found] == ["s1"]


@isolate_apps("tests.app")
def test_what_a_field_of_somebody_s_own_refuses_is_refused_at_once():
    """Whatever texts it has taken before: a call that is noted asks no field."""

    class Code(models.CharField):
        def get_prep_value(self, value):
            if len(value) > self.max_length:
                raise ValueError(value)
            return super().get_prep_value(value)

    class Coded(models.Model):  # noqa: DJ008 - for its field alone
        code = Code(max_length=10)

        objects = CachedManager()

        class Meta:
            app_label = "app"

    for code in ("a", "b", "c"):
        for queryset in (Coded.objects.filter(code=code), Coded.objects.exclude(code=code)):
            assert code in str(queryset.query)
        with pytest.raises(ValueError, match="far too long"):
            Coded.objects.filter(code="far too long")
        with pytest.raises(ValueError, match="far too long"):
            Coded.objects.all().exclude(code="far too long")


def test_what_a_field_changes_is_asked_for_as_it_has_changed_it():
    """An address of IPv4 is sent as it is, which says nothing of those of IPv6: they are sent in
    their shortest form. Asked for as it was written, one would be another question each time."""
    for ip in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:DB8:0::1", "2001:db8::0001"):
        queryset = Everything.objects.filter(ip=ip)
        told = queryset._cachepatterns_recipe
        values = shape_of(queryset.query)[1]
        assert values == (ip if "." in ip else "2001:db8::1",)
        assert told is None or told.shaped() == values


def test_nothing_is_noted_without_shortcuts(settings):
    noted(pk=1)
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    for _ in range(3):
        assert Item.objects.filter(pk=1)._cachepatterns_recipe is None


def test_a_process_does_not_remember_more_than_so_many_steps(monkeypatch):
    def count(step):
        return 1 + sum(count(s) for s in step.following.values() if s is not None)

    monkeypatch.setattr(recipe, "MAX_STEPS", 20)
    names = [field.attname for field in Item._meta.concrete_fields]
    for length in range(len(names)):
        for _ in range(3):
            Item.objects.values(*names[:length]).order_by(*names[length:]).filter(pk=1)
    assert sum(count(r.step) for r in recipe._beginnings.values()) <= 22


def test_an_ordered_queryset_is_asked_in_one_way_whether_it_was_noted_or_built(goods):
    pks = [item.pk for item in goods[2][:2]]
    recipe._beginnings.clear()  # the first call of its kind is built, the second noted
    outcomes = []
    for _ in range(2):
        with seen() as events:
            assert len(Item.objects.order_by("-stock", "name").in_bulk(pks)) == 2
        outcomes += events.outcomes
    assert outcomes == ["miss", "hit"]
