"""Shapes and plans: what is asked without compiling is what compiling would have asked."""

import datetime
import random
from decimal import Decimal

import pytest
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models import Avg, Max, QuerySet
from django.db.models.base import ModelBase
from django.db.models.signals import post_init
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext, isolate_apps

from cachepatterns.converting import cached_class
from cachepatterns.core.sqltext import read_text
from cachepatterns.query import CachedQuery
from cachepatterns.queryset import CachedQuerySet
from cachepatterns.read import plans
from cachepatterns.read.dependencies import dependencies
from cachepatterns.read.direct import fetch
from cachepatterns.read.instances import is_stock, maker, maker_of_all
from cachepatterns.read.plans import plain, plans_of
from cachepatterns.read.question import stamp_keys
from cachepatterns.read.shape import shape_of
from cachepatterns.registry import site
from cachepatterns.transactions import database_id
from tests.app.models import Category, Item, Label, Note, Place, Shop
from tests.events import seen

UTC = datetime.UTC
MOMENT = datetime.datetime(2026, 1, 2, 3, tzinfo=UTC)

CONDITIONS = [
    {"pk": 1},
    {"pk": 2},
    {"pk__in": [1, 2]},
    {"pk__in": (2, 1)},
    {"pk__in": [1, 2, 3]},
    {"sku": "1"},
    {"sku": "s1"},
    {"name__contains": "1"},
    {"name__icontains": "1"},
    {"name__startswith": "1"},
    {"price": 1},
    {"price": Decimal("1.0")},
    {"price__gt": Decimal("1.00")},
    {"price__gte": Decimal("1.00")},
    {"stock__lt": 1},
    {"stock__lte": 1},
    {"rating": 1.0},
    {"rating__isnull": True},
    {"rating__isnull": False},
    {"active": True},
    {"active": False},
    {"made": MOMENT},
    {"made__lt": MOMENT + datetime.timedelta(seconds=1)},
    {"category": 1},
    {"category_id": 2},
    {"category__in": [1, 2]},
    {"category__name": "a"},
    {"category__parent__name": "a"},
    {"second__isnull": True},
    {"second__name": "a"},
    {"labels__name": "a"},
]
STEPS = [
    lambda q, rng: q.filter(**rng.choice(CONDITIONS)),
    lambda q, rng: q.filter(**rng.choice(CONDITIONS)),
    lambda q, rng: q.exclude(**rng.choice(CONDITIONS)),
    lambda q, rng: q.filter(**rng.choice(CONDITIONS)) | q.filter(**rng.choice(CONDITIONS)),
    lambda q, rng: q.order_by(*rng.sample(["price", "-price", "name", "category__name"], 2)),
    lambda q, rng: q.order_by(),
    lambda q, rng: q.reverse(),
    lambda q, rng: q.select_related(*rng.choice([["category"], ["second", "category__parent"]])),
    lambda q, rng: q.only(*rng.choice([["name"], ["name", "sku"]])),
    lambda q, rng: q.defer(*rng.choice([["name"], ["name", "price"]])),
    lambda q, rng: q.distinct(),
    lambda q, rng: q.values_list(*rng.choice([["pk"], ["name", "price"], ["category__name"]])),
    lambda q, rng: q.values(*rng.choice([["pk"], ["name", "price"]])),
]
SLICES = [slice(None, 3), slice(1, 3), slice(3, None), slice(None, 4), slice(3, 4)]


def questions(count, seed=1):
    """Random querysets of `Item`; the same at every call."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        queryset = Item.objects.all()
        try:
            for step in rng.choices(STEPS, k=rng.randint(0, 3)):
                queryset = step(queryset, rng)
            queryset.query.clone().get_compiler("default").as_sql()
        except (TypeError, FieldError):
            continue  # not every step can follow every other
        if rng.random() < 0.3:
            queryset = queryset[rng.choice(SLICES)]
        found.append(queryset)
    return found


@pytest.mark.django_db(databases=["default", "sqlite"])
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_same_shape_and_values_mean_the_same_sql_and_parameters_and_the_reverse(using):
    by_shape, by_sql, shaped = {}, {}, 0
    for queryset in questions(1500):
        query = queryset.query
        found = shape_of(query)
        if found is None:
            continue
        shaped += 1
        sql, params = plain(query).get_compiler(using).as_sql()
        compiled = sql, repr(params)
        told = found[0], repr(found[1])
        assert by_shape.setdefault(told, compiled) == compiled
        # Nearly: two ways of saying one thing may be two shapes, but not many.
        by_sql.setdefault(compiled, set()).add(told)
    assert shaped > 1000
    assert sum(len(told) > 1 for told in by_sql.values()) < len(by_sql) / 10


@pytest.mark.parametrize("operation", [plans.ROWS, "count"])
def test_one_key_means_one_sql_with_one_set_of_parameters(operation, db):
    connection = connections["default"]
    by_key, asked = {}, 0
    for queryset in questions(500, seed=3):
        query = queryset.query
        shaped = shape_of(query)
        plan = shaped and plans_of(connection).of_shape(query, shaped, operation, "default")
        if plan:
            asked += 1
            key = plan.question(shaped[1]).key
            if operation != plans.ROWS:  # of which it is all the same how they are ordered
                query = plain(query)
                query.select_related = False
                query.clear_ordering(force=True)
            sql, params = plain(query).get_compiler("default").as_sql()
            compiled = sql, repr(params)
            assert by_key.setdefault(key, compiled) == compiled
    assert asked > 300


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.django_db(databases=["default", "sqlite"])
def test_a_plan_rests_on_the_very_tags_that_compiling_finds(using):
    connection = connections[using]
    database = database_id(connection)
    narrowed = 0
    for queryset in questions(800, seed=6):
        query = queryset.query
        shaped = shape_of(query)
        plan = shaped and plans_of(connection).of_shape(query, shaped, plans.ROWS, using)
        if plan:
            text, _params = plain(query).get_compiler(using).as_sql()
            found = dependencies(query, read_text(text), site, connection, database)
            assert plan.question(shaped[1]).stamps == stamp_keys(found.tags)
            narrowed += found.narrowed is not None
    assert narrowed > 40


def test_questions_that_are_written_alike_have_answers_of_their_own(goods):
    rows = Item.objects.order_by("pk")
    for _ in range(2):
        assert [len(rows[:1]), len(rows[1:])] == [1, 3]
        assert [rows[:1].count(), rows[1:].count()] == [1, 3]
        assert [len(rows.filter(name__contains="m")), len(rows.filter(name__startswith="m"))] == [
            4,
            0,
        ]


@isolate_apps("tests.app")
def test_joins_by_hidden_relations_of_one_name_are_two_shapes():
    class Team(models.Model):  # noqa: DJ008 - nobody will read its name
        home = models.ManyToManyField(
            "self", through="Match", through_fields=("a", "c"), symmetrical=False, related_name="+"
        )
        away = models.ManyToManyField(
            "self", through="Match", through_fields=("b", "c"), symmetrical=False, related_name="+"
        )

        class Meta:
            app_label = "app"

    class Match(models.Model):  # noqa: DJ008
        a = models.ForeignKey(Team, models.CASCADE, related_name="+")
        b = models.ForeignKey(Team, models.CASCADE, related_name="+")
        c = models.ForeignKey(Team, models.CASCADE, related_name="+")

        class Meta:
            app_label = "app"

    asked = [
        CachedQuerySet(Team).filter(**{f"{name}__isnull": False}).query
        for name in ("home", "away")
    ]
    home, away = (plain(query).get_compiler("default").as_sql() for query in asked)
    assert home != away
    assert shape_of(asked[0]) != shape_of(asked[1])


def test_what_is_not_known_has_no_shape(goods):
    class Text(str):
        pass

    rows = Item.objects
    for queryset in (
        rows.filter(name=Text("a")),
        rows.order_by("?"),
        rows.extra(where=["1=1"]),
        rows.annotate(n=Avg("price")),
        rows.select_for_update(),
        rows.filter(pk=1).union(rows.filter(pk=2)),
        rows.filter(pk__in=rows.values("pk")),
        rows.filter(pk__in=range(10_000)),
        rows.dates("made", "year"),
        rows.filter(made__year=2026),
        rows.filter(name="now"),
    ):
        assert shape_of(queryset.query) is None


def state(made):
    """All that an instance is, with what is joined to it."""
    if made is None or not hasattr(made, "_state"):
        return made
    values = dict(made.__dict__)
    known = vars(values.pop("_state")).copy()
    joined = {name: state(found) for name, found in known.pop("fields_cache", {}).items()}
    return type(made), list(values.items()), known, joined


def test_every_answer_is_django_s_at_the_miss_and_at_the_hit(goods):
    a, _b, items = goods
    items[0].second = a
    items[0].save()
    direct = 0
    for queryset in questions(300, seed=2):
        expected = list(map(state, QuerySet(Item, query=plain(queryset.query))._chain()))
        if queryset._fields is not None:
            plain_set = queryset.uncached()
            expected = list(map(state, plain_set))
        for _ in range(2):
            found = fetch(queryset.all())
            if found is not None:
                direct += 1
                assert sorted(map(repr, map(state, found))) == sorted(map(repr, expected))
    assert direct > 300


def test_a_related_manager_knows_its_object_also_where_the_key_is_deferred(goods):
    """Before 6.1 Django fetches the key, to know whose it is."""

    def look(item):
        return item.get_deferred_fields(), item._state.fields_cache

    plain = QuerySet(Item).filter(category=goods[0])
    plain._known_related_objects = {Item._meta.get_field("category"): {goods[0].pk: goods[0]}}
    for _ in range(2):
        assert look(goods[0].items.only("pk")[0]) == look(plain.only("pk").order_by("pk")[0])


def test_no_query_of_a_known_shape_is_compiled(goods, monkeypatch):
    a, b, _items = goods

    def ask(category):
        rows = Item.objects.filter(category=category).order_by("pk")
        return (
            [item.name for item in rows[:3]],
            rows.count(),
            rows.exists(),
            rows.aggregate(Max("price"), mean=Avg("stock")),
            list(rows.values_list("name", flat=True)),
            Item.objects.get(sku="s1").name,
        )

    first = ask(a), ask(b)
    monkeypatch.setattr(plans, "_made", None)
    with seen() as events:
        assert (ask(a), ask(b)) == first
    assert set(events.outcomes) == {"hit"}


def test_the_shortcuts_can_be_switched_off(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    assert fetch(Item.objects.filter(name="a")) is None
    for outcome in ("miss", "hit"):
        with seen() as events:
            assert Item.objects.filter(name="item 1").count() == 1
        assert events.outcomes == [outcome]


def test_without_the_shortcuts_a_row_is_still_found_by_its_key(goods, settings, monkeypatch):
    """What is looked up by a value is no shortcut: nothing is compiled to find it."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    pk, category = goods[2][0].pk, goods[0].pk

    def ask():
        return (
            Item.objects.get(pk=pk).name,
            Item.objects.get(sku="s0").name,
            Item.objects.in_bulk([pk])[pk].name,
            Item(category_id=category).category.name,
        )

    first = ask()
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    with seen() as events:
        assert ask() == first
    assert set(events.outcomes) == {"hit"}
    with pytest.raises(TypeError):
        Item.objects.filter(name="item 1").count()


def test_a_connection_forgets_the_plans_it_made_first(goods, monkeypatch):
    monkeypatch.setattr(plans, "MAX_PLANS", 3)
    for number in range(1, 8):
        list(Item.objects.filter(stock__in=range(number)))
    assert len(plans_of(connections["default"])._by_shape) <= 3


def test_a_unique_row_is_read_anew_after_it_was_renamed_or_made(goods):
    assert not Category.objects.filter(slug="c").exists()
    with pytest.raises(Category.DoesNotExist):
        Category.objects.get(slug="c")
    a = Category.objects.get(slug="a")
    a.slug = "c"
    a.save()
    with pytest.raises(Category.DoesNotExist):
        Category.objects.get(slug="a")
    assert Category.objects.get(slug="c").pk == a.pk
    assert Category.objects.in_bulk(["b", "c"], field_name="slug")["c"].pk == a.pk


@pytest.mark.parametrize("model", [Item, Label], ids=["related", "alone"])
def test_an_instance_made_past_init_is_the_one_from_db_makes(model):
    names = [field.attname for field in model._meta.concrete_fields]
    values = tuple(range(len(names)))
    assert is_stock(model)
    expected = model.from_db("default", names, values)
    one = maker(model, names, "default")(values)
    many = maker_of_all(model, names, "default")([values, values])
    assert len({id(made) for made in many}) == len({id(made._state) for made in many}) == 2
    for made in (one, *many):
        assert made.__dict__.keys() == expected.__dict__.keys()
        assert list(made.__dict__)[1:] == list(expected.__dict__)[1:]
        assert [getattr(made, name) for name in names] == list(values)
        assert made == expected
        assert made._state.fields_cache == {}
        assert (made._state.db, made._state.adding) == ("default", False)


@pytest.mark.parametrize("what", ["__init__", "from_db", "__setattr__"])
def test_a_model_with_ways_of_its_own_is_made_by_them(what, monkeypatch):
    assert is_stock(Note)
    monkeypatch.setattr(Note, what, vars(Note).get(what) or _wrapped(what), raising=False)
    assert not is_stock(Note)
    monkeypatch.undo()
    assert is_stock(Note)


def test_so_is_one_whose_class_calls_something_else():
    class Calling(ModelBase):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    class Called(models.Model, metaclass=Calling):  # noqa: DJ008
        class Meta:
            app_label = "another"

    assert not is_stock(Called)


def _wrapped(name):
    if name == "from_db":
        return classmethod(lambda cls, *args, **kwargs: super(Note, cls).from_db(*args, **kwargs))
    original = getattr(Note, name)
    return lambda self, *args, **kwargs: original(self, *args, **kwargs)


def test_who_listens_to_every_new_instance_hears_of_hits_too(goods):
    heard = []

    def listen(instance, **kwargs):
        heard.append(instance.pk)

    keys = [item.pk for item in goods[2]]
    assert len(Item.objects.filter(price__gte=0)) == 4
    post_init.connect(listen, sender=Item)
    try:
        assert len(Item.objects.filter(price__gte=0)) == 4
    finally:
        post_init.disconnect(listen, sender=Item)
    assert heard == keys


def test_children_and_their_parents_are_joined_both_ways(fresh):
    shop = Shop.objects.create(name="corner")
    for _ in range(2):
        assert [s.name for s in Shop.objects.filter(pk=shop.pk)] == ["corner"]
        (place,) = Place.objects.filter(pk=shop.pk).select_related("shop")
        assert place.shop.name == "corner"
    Place.objects.filter(pk=shop.pk).update(name="square")
    assert [s.name for s in Shop.objects.filter(pk=shop.pk)] == ["square"]


@pytest.mark.parametrize("evaluate", [list, lambda rows: rows.count(), lambda rows: rows.exists()])
def test_a_query_that_was_asked_by_its_shape_can_still_be_compiled(goods, evaluate):
    for _ in range(2):
        rows = Category.objects.all()
        evaluate(rows)
        assert '"app_category"' in str(rows.query)
        assert list(Item.objects.filter(category__in=rows).order_by("pk")) == goods[2]


def test_what_can_not_be_is_asked_by_its_shape_too_and_nothing_is_kept_beside_it(
    goods, settings, caplog
):
    """Django finds out when it compiles: no integer column holds 2 ** 63."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 1}
    assert Item.objects.filter(pk=1).first() == Item.objects.uncached().filter(pk=1).first()
    for _ in range(2):
        assert Item.objects.filter(pk=2**63).first() is None
    assert caplog.records == []


def test_a_fetch_mode_is_kept(goods):
    modes = pytest.importorskip("django.db.models.fetch_modes", reason="new in Django 6.1")
    for _ in range(3):
        rows = list(Item.objects.filter(stock=0).fetch_mode(modes.FETCH_PEERS))
        assert {row._state.fetch_mode for row in rows} == {modes.FETCH_PEERS}
        list(Item.objects.filter(stock=0))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("base", [models.sql.Query, CachedQuery])
def test_a_query_class_of_somebody_elses_builds_its_own_sql(goods, base):
    """As those that add CTEs or hints do."""

    class Shouting(base):
        def get_compiler(self, *args, **kwargs):
            found = super().get_compiler(*args, **kwargs)
            spell = found.as_sql
            found.as_sql = lambda *a, **k: ("/* hint */ " + spell(*a, **k)[0], spell(*a, **k)[1])
            return found

    class OwnQuery(QuerySet):
        def __init__(self, model=None, query=None, using=None, hints=None):
            super().__init__(model, query or Shouting(model), using, hints)

    reads = [
        lambda q: [item.sku for item in q.filter(stock=0).order_by("pk")],
        lambda q: q.filter(stock=0).count(),
        lambda q: q.filter(stock=0).exists(),
        lambda q: q.aggregate(Max("price")),
        lambda q: q.get(sku="s1").pk,
        lambda q: [*q.in_bulk(["s1"], field_name="sku")],
    ]
    for read in reads:
        truth = read(QuerySet(Item))
        with CaptureQueriesContext(connections["default"]) as captured:
            assert [read(cached_class(OwnQuery)(Item)) for _ in range(3)] == [truth] * 3
        assert len(captured) in {1, 3}
        assert all("/* hint */" in query["sql"] for query in captured)
