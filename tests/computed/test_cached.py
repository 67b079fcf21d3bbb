"""`@cached`: a value is computed once, and never outlives what it rests on."""

import pickle
import subprocess
import sys
import threading
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import Sum

from cachepatterns import (
    aget_or_compute,
    cached,
    get_or_compute,
    invalidate,
    tag,
    uncached,
)
from cachepatterns.exceptions import CachePatternsError, NoIdentity, UncacheableResult
from tests.app.models import Category, Item, Label, Secret
from tests.events import outcome_of, seen
from tests.policies import policy_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh(fresh):
    pass


calls = []


@cached(tags=[Item])
def total(category, extra=0, *, plus=0):
    calls.append((category, extra, plus))
    found = Item.objects.filter(category=category).aggregate(Sum("price"))["price__sum"]
    return (found or Decimal(0)) + extra + plus


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def computed(read):
    """The answer, and whether the function was called for it."""
    before = len(calls)
    return read(), len(calls) > before


def test_it_is_computed_once_and_again_when_what_it_rests_on_is_written(goods):
    a, b, items = goods
    assert computed(lambda: total(a)) == (2, True)
    assert computed(lambda: total(a)) == (2, False)
    assert computed(lambda: total(b)) == (4, True)
    items[0].price = 5
    items[0].save()
    assert computed(lambda: total(a)) == (7, True)
    assert type(total(a)) is Decimal


def test_the_order_of_arguments_makes_no_difference_and_their_types_do(goods):
    a = goods[0]
    total(a, 1, plus=2)
    for same in (
        lambda: total(category=a, plus=2, extra=1),
        lambda: total(a, plus=2, extra=1),
        lambda: total(Category.objects.get(pk=a.pk), 1, plus=2),
    ):
        assert computed(same) == (5, False)
    assert computed(lambda: total(a, True, plus=2)) == (5, True)
    assert computed(lambda: total(a, Decimal(1), plus=2)) == (5, True)
    assert computed(lambda: total(a, 2, plus=1)) == (5, True)
    assert total.key(a) == total.key(a, 0) == total.key(category=a, plus=0) != total.key(a, 1)


def test_wrong_calls_are_the_functions_own_errors(goods):
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        total(goods[0], nothing=1)


def test_what_has_no_identity_is_refused_by_the_name_of_the_argument(goods):
    for wrong in (object(), lambda: 1, float("nan"), Category()):
        with pytest.raises(NoIdentity, match=r"test_cached\.total\(\): the argument 'extra'"):
            total(goods[0], wrong)
    assert issubclass(NoIdentity, TypeError)
    assert not calls


def test_it_is_a_bare_decorator_too_and_rests_on_the_rows_it_is_given(goods):
    @cached(key="name:{item.pk}")
    def name(item):
        calls.append(item)
        return Item.objects.get(pk=item.pk).name

    one, other = goods[2][:2]
    assert computed(lambda: name(one)) == ("item 0", True)
    name(other)
    Item.objects.filter(pk=one.pk).update(name="new")
    assert computed(lambda: name(one)) == ("new", True)
    assert computed(lambda: name(other)) == ("item 1", False)


def test_none_is_a_value(goods):
    @cached(key="nothing", tags=[Item])
    def nothing():
        calls.append(1)

    assert computed(nothing) == (None, True)
    assert computed(nothing) == (None, False)
    assert outcome_of(nothing) == "hit"


def test_every_answer_is_a_new_object(goods):
    kept = {"rows": [1, 2]}

    @cached(key="shared", tags=[Item])
    def shared():
        return kept

    first = shared()
    first["rows"].append(3)
    second = shared()
    second["rows"].append(4)
    assert shared() == {"rows": [1, 2]} == kept


def test_what_can_not_be_stored_is_an_error_with_and_without_a_cache(goods):
    @cached(key="wrong", tags=[Item])
    def wrong():
        return {"all": Item.objects.all()}

    with pytest.raises(UncacheableResult, match=r"\['all'\] is of type .*QuerySet"):
        wrong()
    with uncached(), pytest.raises(UncacheableResult):
        wrong()
    assert wrong.uncached()["all"].count() == 4


# -- what it rests on --------------------------------------------------------------------------


def asked_again_after(function, *args, write):
    function(*args)
    assert not computed(lambda: function(*args))[1]
    write()
    return computed(lambda: function(*args))[1]


def test_it_rests_on_models_rows_querysets_tags_and_functions_of_the_arguments(goods):
    a, _, items = goods

    def by(*tags):
        @cached(tags=tags, key=f"{len(by.made)}:{{pk}}")
        def value(pk):
            calls.append(pk)
            return pk

        by.made.append(value)
        return value

    by.made = []
    other, same = (
        lambda: Item.objects.filter(pk=items[1].pk).update(stock=7),
        lambda: Item.objects.filter(pk=items[0].pk).update(stock=7),
    )
    for function, which in [
        (by(Item), {"other", "same"}),
        (by("app.Item"), {"other", "same"}),
        (by(items[0]), {"same"}),
        (by(Item.objects.filter(category=a)), {"same"}),
        (by(Item.objects.filter(pk=items[0].pk).only("name")), {"same"}),
        (by(lambda pk: Item.objects.get(pk=pk)), {"same"}),
        (by(lambda pk: [Item.objects.filter(pk=pk), tag("x")]), {"same"}),
        (by(tag("x")), set()),
        (by(lambda pk: tag("x", pk)), set()),
        (by(lambda pk: None), set()),
        (by(Label, lambda pk: Item), {"other", "same"}),
    ]:
        pk = items[0].pk
        assert asked_again_after(function, pk, write=other) is ("other" in which)
        assert asked_again_after(function, pk, write=same) is ("same" in which)
    by_tag, by_member = by.made[7:9]
    assert asked_again_after(by_tag, 1, write=lambda: invalidate(tag("x")))
    assert not asked_again_after(by_member, 1, write=lambda: invalidate(tag("x", 2)))
    assert asked_again_after(by_member, 1, write=lambda: invalidate(tag("x", 1)))


def test_rules_invalidate_it_by_their_tags(goods):
    a, b, items = goods

    @cached(key="{category.pk}", tags=lambda category: tag("catalog", category.pk))
    def teaser(category):
        calls.append(category)
        return 1

    def move():
        items[0].category = b
        items[0].save()

    assert asked_again_after(teaser, a, write=move)


@pytest.mark.parametrize("wrong", ["no tag", 5, object, [5], int, None])
def test_what_can_not_be_rested_on_is_refused_at_the_decoration(wrong):
    with pytest.raises((TypeError, ValueError), match="tag"):
        cached(key="a", tags=[wrong])(lambda: 1)


def test_a_label_of_no_model_is_refused_when_it_is_called_as_models_may_still_be_loading(goods):
    with pytest.raises(ValueError, match=r"'app\.Nothing' is neither a tag"):
        cached(key="a", tags="app.Nothing")(lambda: 1)()


def test_a_model_whose_writes_nobody_watches_is_refused(goods):
    secret = Secret.objects.create(item=goods[2][0], word="a")
    for function, args in [
        (cached(tags=[Secret])(total.uncached), (1,)),
        (cached(tags=[secret])(total.uncached), (1,)),
        (cached(tags=[Secret.objects.all()])(total.uncached), (1,)),
        (cached(total.uncached), (secret,)),
    ]:
        with pytest.raises(CachePatternsError, match=r"(?i)app.secret.*register it"):
            function(*args)
    # Where its author has said what counts, an argument is only an argument.
    said = cached(key="{secret.pk}", tags=[Item])(lambda secret: secret.word)
    assert [said(secret), outcome_of(lambda: said(secret))] == ["a", "hit"]


def wrong_place():
    def inner():
        return 1

    return inner


def test_other_mistakes_are_told_at_the_decoration():
    for wrong in ({"tier": "nothing"}, {"ttl": 0}, {"key": "a:{b}"}, {"key": ""}, {"key": "{}"}):
        with pytest.raises(ValueError, match=r"tier|ttl|key="):
            cached(**{"key": "a", **wrong})(lambda a: 1)
    with pytest.raises(ValueError, match="made within another"):
        cached(lambda: 1)
    with pytest.raises(ValueError, match="made within another"):
        cached(tags=[Item])(wrong_place())
    with pytest.raises(TypeError, match="generator"):

        @cached(key="a")
        def lazy():
            yield 1

    for wrong in (Item, 5):
        with pytest.raises(TypeError, match="decorates a function"):
            cached(wrong)
    with pytest.raises(TypeError, match="nothing else"):
        cached(Item.objects.all(), key="a")


# -- names -------------------------------------------------------------------------------------


def test_a_key_says_what_tells_the_calls_apart(goods):
    @cached(key="item:total:{item.pk}:{day:%Y}", tags=[Item])
    def value(item, day, request=None):
        calls.append(item)
        return item.pk

    import datetime

    item, other = goods[2][:2]
    first, same_year = datetime.date(2026, 1, 1), datetime.date(2026, 5, 5)
    value(item, first, object())
    assert not computed(lambda: value(item, same_year, object()))[1]
    assert computed(lambda: value(item, datetime.date(2025, 1, 1)))[1]
    assert computed(lambda: value(other, first))[1]
    with pytest.raises(NoIdentity, match=r"'item'.*not saved"):
        value(Item(), first)
    invalidate(tag(f"item:total:{item.pk}:2026"))
    assert computed(lambda: value(item, first))[1]
    assert not computed(lambda: value(other, first))[1]


def test_the_values_in_a_key_keep_their_types_and_their_borders():
    @cached(key="{a}:{b}")
    def value(a, b):
        return [a, b]

    for args in (("x:y", "z"), ("x", "y:z"), ("1", "z"), (1, "z"), (True, "z")):
        assert value(*args) == [*args]
    with pytest.raises(NoIdentity, match="'a'"):
        value(object(), 1)


def test_version_and_ttl_make_another_value_of_it():
    keys = {
        cached(**options)(total.uncached).key(1)
        for options in ({"ttl": 5}, {"version": 2}, {"tier": "static"}, {})
    }
    assert len(keys) == 4


class Shelf:
    @cached(tags=[Item])
    def own(self, n):
        calls.append(n)
        return n

    @cached(key="shelf:{n}", tags=[Item])
    def keyed(self, n):
        calls.append(n)
        return n

    @cached
    @classmethod
    def of_class(cls, n):
        calls.append((cls, n))
        return f"{cls.__name__}{n}"

    @classmethod
    @cached
    def of_class_too(cls, n):
        calls.append((cls, n))
        return n

    @staticmethod
    @cached(tags=[Item])
    def of_none(n):
        calls.append(n)
        return n


class Deep(Shelf):
    pass


def test_methods_need_an_identity_of_their_own_or_a_key(goods):
    shelf = Shelf()
    with pytest.raises(NoIdentity, match="'self'"):
        shelf.own(1)
    for read in (lambda: shelf.keyed(1), lambda: Shelf.of_none(1), lambda: shelf.of_class_too(1)):
        assert computed(read) == (1, True)
        assert computed(read) == (1, False)
    assert Shelf().keyed.invalidate(1)
    assert computed(lambda: shelf.keyed(1))[1]
    assert [Shelf.of_class(1), Deep.of_class(1), Shelf.of_class(1)] == [
        "Shelf1",
        "Deep1",
        "Shelf1",
    ]
    assert len(calls) == 6


def test_a_method_of_a_model_is_told_apart_by_its_row(goods, monkeypatch):
    @cached(key="{self.pk}:{suffix}")
    def label(self, suffix="!"):
        calls.append(self)
        return self.name + suffix

    monkeypatch.setattr(Item, "label", label, raising=False)
    one, other = goods[2][:2]
    assert [one.label(), other.label(suffix="?"), one.label("!")] == [
        "item 0!",
        "item 1?",
        "item 0!",
    ]
    assert len(calls) == 2
    one.name = "new"
    one.save()
    assert one.label() == "new!"
    assert one.label.key() != other.label.key()
    assert one.label.uncached() == "new!"


def test_a_cached_function_is_still_that_function():
    assert total.__name__ == "total"
    assert total.__wrapped__ is total.uncached
    assert pickle.loads(pickle.dumps(total)) is total
    assert "total" in repr(total)


# -- invalidating ------------------------------------------------------------------------------


def test_one_value_or_all_of_a_function_can_be_dropped(goods):
    a, b, _ = goods
    total(a), total(b), total(a, 1)
    total.invalidate(category=a)
    assert computed(lambda: total(a))[1]
    assert not computed(lambda: total(a, 1))[1]
    total.invalidate_all()
    assert computed(lambda: total(a, 1))[1]
    assert computed(lambda: total(b))[1]


def test_get_or_compute_names_a_value_by_its_key(goods):
    def ask():
        return get_or_compute("item:names:7", lambda: calls.append(1) or ["a"], tags=[Item])

    assert computed(ask) == (["a"], True)
    with seen() as found:
        assert computed(ask) == (["a"], False)
    assert [(r.label, r.pattern, r.outcome) for r in found.reads] == [
        ("computed", "item:names", "hit")
    ]
    Item.objects.filter(pk=goods[2][0].pk).update(stock=3)
    assert computed(ask)[1]
    invalidate(tag("item:names:7"))
    assert computed(ask)[1]
    for wrong in ("", None, 5):
        with pytest.raises(TypeError, match="key"):
            get_or_compute(wrong, lambda: 1)


# -- when it is not asked ------------------------------------------------------------------------


def reason_of(read):
    with seen() as found:
        read()
    # Those of the queries within are their own.
    (reason,) = [r.reason for r in found.reads if r.label == "computed"]
    return reason


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_it_keeps_to_the_functions_word_wherever_a_query_keeps_to_the_databases(goods, settings):
    a, _, items = goods
    total(a)
    with uncached():
        assert reason_of(lambda: total(a)) == "uncached block"
    with transaction.atomic():
        assert not computed(lambda: total(a))[1]
        items[0].price = 9
        items[0].save()
        assert reason_of(lambda: total(a)) == "transaction has written"
        assert total(a) == 11
        transaction.set_rollback(True)
    assert total(a) == 2
    with transaction.atomic(using="sqlite"):
        assert reason_of(lambda: total(a)) == "snapshot transaction"
    with policy_of(Item, tier="never"):
        assert reason_of(lambda: total(a)) == "app.item is never cached"
    assert reason_of(lambda: cached(tier="never")(total.uncached)(1)) == "tier never"
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ENABLED": False}
    assert reason_of(lambda: total(a)) == "disabled"


def test_what_a_function_reads_in_a_session_of_its_own_is_nobody_elses(goods):
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO public, pg_catalog")
    assert reason_of(lambda: total(goods[0])) == "session state"
    connection.close()
    assert reason_of(lambda: total(goods[0])) == ""


def test_without_a_tier_the_shortest_of_its_models_is_taken(goods):
    from cachepatterns.backends.store import current_store

    def lives(function):
        function()
        client = current_store().backend._client()
        return client.ttl(function.key())

    assert 15 * 54 <= lives(cached(key="1", tags=[Item, Category])(lambda: 1)) <= 15 * 60
    assert 450 < lives(cached(key="2", tags=[Item], ttl=500)(lambda: 2)) <= 500
    assert lives(cached(key="3")(lambda: 3)) <= 60
    assert lives(cached(key="4", tier="static", version=3)(lambda: 4)) > 20 * 3600


# -- coroutines ----------------------------------------------------------------------------------


@cached(tags=[Item])
async def names(category):
    calls.append(category)
    return [item.name async for item in Item.objects.filter(category=category)]


def test_a_coroutine_function_is_awaited_in_its_loop_and_cached(goods):
    import asyncio

    @cached(key="outer", tags=[Item])
    async def outer(category):
        calls.append(asyncio.get_running_loop())
        return [*await names(category), "more"]

    async def ask():
        first = [await outer(goods[0]), await names(goods[0]), await outer(goods[0])]
        assert calls[0] is asyncio.get_running_loop()
        return [*first, await aget_or_compute("a", names.uncached.__get__(goods[1]))]

    assert async_to_sync(ask)() == [
        ["item 0", "item 2", "more"], ["item 0", "item 2"], ["item 0", "item 2", "more"],
        ["item 1", "item 3"],
    ]  # fmt: skip
    assert len(calls) == 4  # the outer one learns what it is made of, and is kept then
    assert asyncio.iscoroutinefunction(names) or hasattr(names, "_is_coroutine_marker")
    Item.objects.filter(pk=goods[2][0].pk).update(name="new")
    assert async_to_sync(names)(goods[0]) == ["new", "item 2"]
    async_to_sync(names.ainvalidate)(goods[0])
    assert computed(lambda: async_to_sync(names)(goods[0]))[1]


def test_a_coroutine_that_raises_leaves_nothing(goods):
    @cached(key="failing")
    async def failing():
        calls.append(1)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            async_to_sync(failing)()
    assert len(calls) == 2


def test_the_loop_goes_on_while_a_value_is_computed():
    import asyncio

    other = []

    async def both():
        go = asyncio.Event()

        @cached(key="slow")
        async def slow():
            await asyncio.wait_for(go.wait(), 20)
            return 1

        async def meanwhile():
            other.append("runs")
            go.set()

        asking = asyncio.create_task(slow())
        await asyncio.sleep(0)
        await meanwhile()
        return await asking

    assert async_to_sync(both)() == 1
    assert other


def test_it_may_be_imported_before_the_app_registry():
    code = "from cachepatterns import cached\n@cached(tags=[])\ndef f(a): return a"
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(
        command, check=True, timeout=30, env={"DJANGO_SETTINGS_MODULE": "tests.settings"}
    )


def test_several_are_computed_at_once_and_synchronous_code_goes_on_meanwhile(goods):
    """One that waits for what another task does with the database must not keep it from that."""
    import asyncio

    async def all_at_once():
        met = asyncio.Barrier(3)

        @cached(key="{n}", tags=[Item])
        async def slow(n):
            await met.wait()
            return [n, await Item.objects.acount()]

        async def other():
            found = await Item.objects.acount()
            await met.wait()
            return found

        answers = asyncio.gather(slow(1), slow(2), other())
        return await asyncio.wait_for(answers, 20)

    assert async_to_sync(all_at_once)() == [[1, 4], [2, 4], 4]


def test_coroutines_that_miss_at_once_compute_once_and_one_may_call_itself(goods):
    import asyncio

    async def at_once():
        @cached(key="once", tags=[Item])
        async def once():
            calls.append(1)
            await asyncio.sleep(0.05)
            return len(calls)

        @cached(key="itself", tags=[Item])
        async def itself(*, depth=[0]):  # noqa: B006
            depth[0] += 1
            return 1 if depth[0] > 1 else await itself() + 1

        return [*await asyncio.gather(*(once() for _ in range(8))), await itself()]

    assert async_to_sync(at_once)() == [1] * 8 + [2]


def ends_when_it_is_cancelled(is_cancelled):
    """Whether a function that would go on for ever ends when he who waits for it is cancelled;
    `is_cancelled` is set then."""
    import asyncio

    ended = threading.Event()

    async def cancel():
        began = asyncio.Event()

        @cached(key="endless", tags=[Item])
        async def endless():
            began.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        task = asyncio.create_task(endless())
        await asyncio.wait_for(began.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        is_cancelled.set()
        return await asyncio.to_thread(ended.wait, 20)

    return async_to_sync(cancel)()


def test_one_who_is_cancelled_ends_what_he_waits_for(goods):
    assert ends_when_it_is_cancelled(threading.Event())


def test_one_who_is_cancelled_just_when_it_begins_ends_it_too(goods, monkeypatch):
    """The call has begun in the loop; the thread that began it does not know of it yet."""
    import asyncio

    is_cancelled, begin = threading.Event(), asyncio.run_coroutine_threadsafe

    def slowly(coroutine, loop):
        found = begin(coroutine, loop)
        assert is_cancelled.wait(20)
        return found

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", slowly)
    assert ends_when_it_is_cancelled(is_cancelled)
