"""Raw SQL is cached where its author says what it depends on."""

from contextlib import suppress

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, transaction
from django.db.models import Prefetch

from cachepatterns import tag, uncached
from cachepatterns.explicit import invalidate
from tests.app.models import Category, Item, Label, Secret
from tests.differential.freezing import freeze
from tests.events import outcome_of, seen

pytestmark = pytest.mark.django_db(transaction=True)

CHEAP = "SELECT id, name, price, price * 2 AS double FROM app_item WHERE price < %s ORDER BY id"


def cheap(*tags, params=(2,), sql=CHEAP):
    return Item.objects.raw(sql, params, tags=tags)


def answers(build):
    """What Django gives, and what the cache gives twice; how the second one ended."""
    with uncached():
        truth = freeze(list(build()))
    first = freeze(list(build()))
    with seen() as found:
        second = freeze(list(build()))
    return [first == truth, second == truth, {*found.outcomes} <= {"hit", "negative"}]


RAWS = {
    "columns deferred, computed, converted": lambda: cheap(Item),
    "all of them": lambda: cheap(Item, sql="SELECT * FROM app_item WHERE price < %s"),
    "nothing found": lambda: cheap(Item, params=(-1,)),
    "parameters by name": lambda: Item.objects.raw(
        "SELECT id, name FROM app_item WHERE stock = %(n)s", {"n": 0}, tags=[Item]
    ),
    "no parameters": lambda: Item.objects.raw("SELECT id FROM app_item", tags=Item),
    "other names for columns": lambda: Item.objects.raw(
        "SELECT id, sku AS label FROM app_item", translations={"label": "name"}, tags=[Item]
    ),
    "prefetches": lambda: cheap(Item).prefetch_related("category", Prefetch("labels")),
    "a table joined": lambda: Item.objects.raw(
        "SELECT i.*, c.name AS of FROM app_item i JOIN app_category c ON c.id = i.category_id",
        tags=[Item],
    ),
}


@pytest.mark.parametrize("name", RAWS)
def test_it_is_answered_from_the_cache_as_django_would(goods, name):
    assert answers(RAWS[name]) == [True, True, True]


def test_every_iteration_gives_fresh_objects(goods):
    raw = cheap(Item)
    one, other = list(raw.iterator()), list(raw.iterator())
    assert one == other
    assert one[0] is not other[0]


def test_it_follows_what_is_declared_and_what_it_names(goods):
    _, _, items = goods
    joined = (
        "SELECT i.id, i.name FROM app_item i JOIN app_category c ON c.id = i.category_id "
        "WHERE c.name = 'a'"
    )

    def ask():
        return sorted(i.name for i in Item.objects.raw(joined, tags=[tag("shelf", 1), Label]))

    assert ask() == ["item 0", "item 2"]
    Category.objects.filter(name="a").update(name="b")
    assert ask() == []
    Category.objects.update(name="a")
    assert len(ask()) == 4
    for touch in (
        lambda: items[0].save(),
        lambda: Label.objects.create(name="x"),
        lambda: invalidate(tag("shelf", 1)),
        lambda: invalidate(tag("shelf")),
    ):
        assert outcome_of(ask) == "hit"
        touch()
        assert outcome_of(ask) == "miss"
    invalidate(tag("shelf", 2))
    assert outcome_of(ask) == "hit"


def test_parameters_tags_and_options_are_part_of_the_question(goods):
    texts = [
        lambda: cheap(Item),
        lambda: cheap(Item, params=(3,)),
        lambda: cheap(Item, tag("shelf")),
        lambda: Item.objects.cached(ttl=5).raw(CHEAP, (2,), tags=[Item]),
        lambda: Item.objects.raw(CHEAP.replace("%s", "%(p)s"), {"p": 2}, tags=[Item]),
    ]
    assert [outcome_of(lambda t=text: list(t())) for text in texts] == ["miss"] * 5
    assert [outcome_of(lambda t=text: list(t())) for text in texts] == ["hit"] * 5


def test_a_transaction_that_has_written_asks_the_database(goods):
    list(cheap(Item))
    with transaction.atomic(), seen() as found:
        goods[2][0].save()
        list(cheap(Item))
    assert found.reasons == ["transaction has written"]


@pytest.mark.parametrize(
    ("reason", "build"),
    [
        ("raw()", lambda: Item.objects.raw(CHEAP, (2,))),
        ("uncached()", lambda: Item.objects.uncached().raw(CHEAP, (2,), tags=[Item])),
        ("not registered", lambda: Secret.objects.raw("SELECT * FROM app_secret", tags=[Item])),
        (
            "raw() that may write",
            lambda: cheap(Item, sql="UPDATE app_item SET stock = %s RETURNING *"),
        ),
        ("select_for_update", lambda: cheap(Item, sql=CHEAP + " FOR NO KEY UPDATE")),
        (
            "parameter that may mean now",
            lambda: cheap(Item, sql=f"{CHEAP} --%s", params=(2, "now")),
        ),
        ("parameter without identity", lambda: cheap(Item, params=(Odd(2),))),
    ],
)
def test_what_is_not_cached_has_a_reason(goods, reason, build):
    for _ in range(2):
        with seen() as found, transaction.atomic():
            with suppress(DatabaseError):
                list(build())
            transaction.set_rollback(True)
        assert [(e.outcome, e.reason, e.pattern) for e in found.reads] == [
            ("bypass", reason, "raw")
        ]


class Odd:
    """A parameter that nobody can tell from another."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ([], "at least one"),
        (["shelf"], "cachepatterns.tag"),
        ([5], "cachepatterns.tag"),
        ([int], "neither a model nor a tag"),
        ([Secret], "app.Secret"),
    ],
)
def test_bad_tags_are_refused_with_what_to_do(tags, error):
    with pytest.raises(ValueError, match=error):
        Item.objects.raw(CHEAP, tags=tags)


def test_a_tag_that_nobody_could_invalidate_is_refused_of_querysets_too():
    with pytest.raises(ValueError, match=r"cachepatterns\.tag"):
        Item.objects.cached(tags=["shelf"])


def test_async(goods):
    async def ask():
        return [item.pk async for item in cheap(Item)]

    assert async_to_sync(ask)() == async_to_sync(ask)() == [i.pk for i in goods[2][:2]]
    with seen() as found:
        async_to_sync(ask)()
    assert found.outcomes == ["hit"]


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_each_database_answers_for_itself(both_databases):
    here, there = Category.objects, Category.objects.using("sqlite")
    raw = here.raw("SELECT * FROM app_category", tags=[Category])
    for _ in range(2):
        here.create(name="here", slug=f"here {here.count()}")
        there.create(name="there", slug=f"there {there.count()}")
        for using, queryset in (("default", here), ("sqlite", there)):
            for _ in range(2):
                found = [(c.pk, c.name) for c in raw.using(using)]
                assert found == list(queryset.uncached().values_list("pk", "name"))
            assert outcome_of(lambda u=using: list(raw.using(u))) == "hit"
