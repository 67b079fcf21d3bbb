"""What is asked, what is sent to the database, and what tags and keys are made of are the same.

What must not happen: a value is spelled otherwise than the database is sent it, or a lookup is
taken for another one, or what chooses the rows of a slice is forgotten. Then two questions have
one answer, or no write ever meets the entry.
"""

import datetime
import enum
import io
import struct
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.core.exceptions import FieldError
from django.db import connection, models
from django.db.models import (
    Count,
    DateTimeField,
    F,
    FloatField,
    Func,
    Max,
    Min,
    QuerySet,
    Value,
    lookups,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, TruncDate
from django.test.utils import register_lookup
from django.utils import timezone

from cachepatterns.registry import site
from cachepatterns.write.concerns import ByQuery
from tests.app.counted import Article
from tests.app.models import Category, Everything, Item, Label, Secret
from tests.events import seen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[True, False], ids=["shortcuts", "compiled"], autouse=True)
def shortcuts(request, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": request.param}


def check(model, ask, *writes):
    """Ours answers as Django does: before, and after each write."""
    for write in (lambda: None, *writes):
        write()
        for _ in range(3):
            assert ask(model.objects.all()) == ask(QuerySet(model))


# -- texts that call themselves otherwise -------------------------------------------------------


class Slug(str, enum.Enum):  # noqa: UP042 - whose `str()` is "Slug.A"
    A = "a"


class Masked(str):
    def __str__(self):
        return "***"


TEXTS = pytest.mark.parametrize("text", [Slug.A, Masked("a")], ids=["enum", "masked"])
WAYS = {
    "get": lambda q, text: [q.get(slug=text).name],
    "in_bulk": lambda q, text: [c.name for c in q.in_bulk([text], field_name="slug").values()],
    "filter": lambda q, text: [c.name for c in q.filter(slug=text)],
    "in": lambda q, text: [c.name for c in q.filter(slug__in=[text, "zz"])],
    "compiled": lambda q, text: [c.name for c in q.filter(slug=text, name__regex=".")],
}


@TEXTS
@pytest.mark.parametrize("way", WAYS)
def test_a_text_is_what_it_holds(goods, way, text):
    def rename():
        Category.objects.filter(slug="a").update(name="new")

    check(Category, lambda q: WAYS[way](q, text), rename)


def test_two_texts_that_call_themselves_alike_are_two(goods):
    for _ in range(3):
        for slug in "ab":
            assert Category.objects.get(slug=Masked(slug)).slug == slug


@TEXTS
def test_what_was_not_there_is_found_when_it_is(goods, text):
    for _ in range(3):
        with pytest.raises(Everything.DoesNotExist):
            Everything.objects.get(unique_or_null=text)
    Everything.objects.create(unique_or_null="a")
    assert Everything.objects.get(unique_or_null=text).unique_or_null == "a"


# -- lookups of somebody else's -----------------------------------------------------------------


class NotIn(lookups.In):
    lookup_name = "notin"

    def get_rhs_op(self, connection, rhs):
        return f"NOT IN {rhs}"


class Ne(lookups.Exact):
    lookup_name = "ne"

    def get_rhs_op(self, connection, rhs):
        return f"<> {rhs}"


def test_a_lookup_made_of_django_s_may_mean_something_else(goods):
    a, _, items = goods

    def rename():
        Item.objects.filter(pk=items[1].pk).update(name="changed")

    with register_lookup(models.ForeignKey, NotIn), register_lookup(models.BigAutoField, Ne):
        names = lambda q: sorted(q.values_list("name", flat=True))  # noqa: E731
        check(Item, lambda q: names(q.filter(category__notin=[a.pk])), rename)
        check(
            Item,
            lambda q: q.filter(pk__ne=items[0].pk).count(),
            lambda: Item.objects.create(name="n", sku="n", category=a, price=1),
        )
        query = Item.objects.filter(pk__ne=5).query
        assert ByQuery(query, site.policy_for(Item), connection, "db").rows() == ()


# -- numbers of slices --------------------------------------------------------------------------


def test_the_order_of_a_slice_is_a_part_of_the_question(goods):
    a, _, items = goods
    labels = [Label.objects.create(name=name) for name in "xy"]
    check(
        Item,
        lambda q: (
            q.order_by("category__name", "pk")[:2].aggregate(Max("price"), n=Min("price")),
            q.order_by("labels__name")[:100].count(),
            q.order_by("labels__name")[4:].count(),
            q.order_by("labels__name")[4:].exists(),
            q.order_by("labels__name").distinct()[4:].count(),
        ),
        lambda: Category.objects.filter(pk=a.pk).update(name="zzz"),
        lambda: items[0].labels.add(*labels),
        lambda: items[0].labels.clear(),
    )


def test_so_is_that_of_the_model(goods, monkeypatch):
    a, _, _ = goods
    monkeypatch.setattr(Item._meta, "ordering", ["category__name", "pk"])
    check(
        Item,
        lambda q: q.all()[:2].aggregate(Max("price")),
        lambda: Category.objects.filter(pk=a.pk).update(name="zzz"),
    )


def test_what_a_slice_is_ordered_by_must_be_registered(goods):
    items = goods[2]
    for number, item in enumerate(items):
        Secret.objects.create(item=item, word=str(number))
    with seen() as found:
        for _ in range(3):
            Item.objects.order_by("secret__word")[:2].aggregate(Max("price"))
    assert found.outcomes == ["bypass"] * 3


def test_or_not_ignored(fresh):
    for views in (1, 2):
        Article.objects.create(views=views)
    first = QuerySet(Article).order_by("views")[0]
    check(
        Article,
        lambda q: q.order_by("-views")[:1].aggregate(Max("id")),
        lambda: Article.objects.filter(pk=first.pk).update(views=5),
    )


def test_a_random_slice_is_none_that_is_kept(goods, monkeypatch):
    monkeypatch.setattr(Item._meta, "ordering", ["?"])
    with seen() as found:
        for _ in range(3):
            Item.objects.all()[:1].aggregate(Max("price"))
    assert set(found.outcomes) == {"bypass"}


def test_an_order_with_a_parameter_of_its_own(fresh, monkeypatch):
    """A value that is named twice is sent once: the numbers of both may agree."""
    moments = [
        datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
        datetime.datetime(2026, 1, 1, 23, tzinfo=datetime.UTC),
    ]
    category = Category.objects.create(name="c", slug="c")
    pks = [
        Item.objects.create(name="i", sku=str(n), category=category, price=1, made=made).pk
        for n, made in enumerate(moments)
    ]
    monkeypatch.setattr(Item._meta, "ordering", [TruncDate("made"), "pk"])
    for zone in ("UTC", "Asia/Tokyo"):
        with timezone.override(ZoneInfo(zone)):
            wanted = [pks[0], *pks]
            check(Item, lambda q, w=wanted: [i.pk for i in q.filter(pk__in=w)])


class Nameless(ZoneInfo):
    def __repr__(self):
        return "a zone"


def nameless(hours):
    return Nameless(f"Etc/GMT{-hours:+d}")


def from_a_file(hours):
    """A zone as a file of the zone database has it, with one offset for all times."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 2)
    kind = struct.pack(">lbb", hours * 3600, 0, 0)
    return ZoneInfo.from_file(io.BytesIO(b"TZif" + bytes(16) + counts + kind + b"X\0"))


@pytest.mark.parametrize("zone", [nameless, from_a_file])
def test_moments_of_zones_that_do_not_tell_their_names(goods, zone):
    """Two moments that look alike, and are not."""
    for hour, item in enumerate(goods[2]):
        item.made = datetime.datetime(2026, 1, 1, hour, tzinfo=datetime.UTC)
        item.save()
    for hours in (0, 1, 9, 0):
        moment = datetime.datetime(2026, 1, 1, 2, tzinfo=zone(hours))
        check(Item, lambda q, m=moment: [i.pk for i in q.filter(made__gte=m).order_by("pk")])


# -- aggregates ---------------------------------------------------------------------------------


def outcome(ask):
    try:
        return ask()
    except (FieldError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize("alias", ["stock", "a b", ""])
def test_what_django_refuses_is_refused(goods, alias):
    for n in range(3):
        Item.objects.filter(stock__lt=1000 + n).aggregate(a=Max("stock"), b=Min("stock"))
    for _ in range(3):
        ours, plain = (
            outcome(
                lambda q=q: q.filter(stock__lt=77).aggregate(
                    **{alias: Max("stock"), "b": Min("stock")}
                )
            )
            for q in (Item.objects, QuerySet(Item))
        )
        assert ours == plain


def test_an_aggregate_that_was_told_more_since_it_was_made(goods):
    Item.objects.update(stock=1)
    plain, distinct = Count("stock"), Count("stock")
    distinct.distinct = True
    for _ in range(3):
        assert Item.objects.aggregate(n=plain) == {"n": 4}
        assert Item.objects.aggregate(n=distinct) == {"n": 1}


def test_an_aggregate_that_was_given_a_default_since_it_was_made(goods):
    plain, defaulted = Max("stock"), Max("stock")
    defaulted.default = 5
    for _ in range(3):
        nobody = Item.objects.filter(sku="nobody's")
        assert nobody.aggregate(n=plain) == {"n": None}
        assert nobody.aggregate(n=defaulted) == {"n": 5}


def test_an_integer_of_more_digits_than_python_writes(goods):
    for _ in range(3):
        Item.objects.filter(stock=1)
    for _ in range(3):
        assert Item.objects.filter(stock=10**5000).count() == 0


# -- rows ---------------------------------------------------------------------------------------


def test_in_bulk_takes_the_name_of_a_field(goods):
    for _ in range(2):
        with pytest.raises(Exception, match="slug__exact"):
            Category.objects.in_bulk(["a"], field_name="slug__exact")
        assert Category.objects.get(slug__exact="a").slug == "a"


def test_an_init_that_is_put_in_place_late_is_called(goods, monkeypatch):
    Category.objects.get(slug="a")
    init = Category.__init__

    def marks(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.is_marked = True

    monkeypatch.setattr(Category, "__init__", marks)
    for _ in range(2):
        assert Category.objects.get(slug="a").is_marked
        assert all(category.is_marked for category in Category.objects.filter(slug="a"))


# -- what SQL text says -------------------------------------------------------------------------


def test_a_table_that_is_called_like_a_function(goods):
    """In raw SQL it needs no quotes; and nobody would hear of its writes."""
    model = type(
        "Log",
        (models.Model,),
        {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "app", "db_table": "log"}),
        },
    )
    with connection.schema_editor() as editor:
        editor.create_model(model)
    site.forget()
    try:
        check(
            Item,
            lambda q: list(
                q.annotate(x=RawSQL("(SELECT COUNT(*) FROM log)", ())).values_list("pk", "x")
            ),
            lambda: QuerySet(model).create(),
        )
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(model)
        apps.all_models["app"].pop("log")
        apps.clear_cache()
        site.forget()


@pytest.mark.parametrize(
    "condition",
    [
        lambda: lookups.GreaterThan(Func(function='"random"', output_field=FloatField()), 0.5),
        lambda: lookups.LessThan(F("made"), Cast(Value("today 10:00"), DateTimeField())),
    ],
    ids=["random", "today"],
)
def test_what_is_another_answer_tomorrow_is_not_kept(goods, condition):
    with seen() as found:
        for _ in range(3):
            Item.objects.filter(condition()).count()
    assert found.outcomes == ["bypass"] * 3
