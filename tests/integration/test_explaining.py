"""`explain_cache()` tells what a read would do, and does nothing itself."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from cachepatterns import tag, uncached
from cachepatterns.backends.store import current_store
from cachepatterns.core.key import guard_key
from tests.app.models import Item, Secret
from tests.events import seen
from tests.policies import policy_of


def everything_in_redis(redis_client):
    return {
        key: redis_client.dump(key)
        for key in redis_client.scan_iter("*:*")
        if b":stats:" not in key
    }


@pytest.fixture
def redis_client(settings):
    from django.core.cache import caches

    return caches["default"].client.get_client()


READS = {
    "list": (lambda q: list(q), ()),
    "count": (lambda q: q.count(), ("count",)),
    "exists": (lambda q: q.exists(), ("exists",)),
    "first": (lambda q: q.first(), ("first",)),
    "aggregate": (lambda q: q.aggregate(Sum("stock")), ("aggregate", Sum("stock"))),
}


@pytest.mark.parametrize("shortcuts", [True, False], ids=["shortcuts", "compiled"])
@pytest.mark.parametrize("name", READS)
def test_it_tells_of_each_read_whether_it_would_hit(goods, settings, shortcuts, name):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
    a, _b, items = goods
    read, asked = READS[name]

    def queryset():
        return Item.objects.filter(category=a.pk)

    before = queryset().explain_cache(*asked)
    assert not before.would_hit
    assert before.why_not[0] == "nothing is stored"
    read(queryset())
    after = queryset().explain_cache(*asked)
    assert after.would_hit, str(after)
    assert after.why_not == ()
    assert after.key == before.key
    with seen() as found:
        read(queryset())
    assert (found.reads[0].outcome, found.reads[0].pattern) == ("hit", after.pattern)
    items[0].save()
    current_store().settle()  # the release is on its way: another line might come before it
    gone = queryset().explain_cache(*asked)
    assert not gone.would_hit
    assert any("category=" in reason or ":*" in reason for reason in gone.why_not), gone.why_not


def test_it_explains_get_by_its_conditions_and_in_bulk_by_its_first(goods):
    _a, _b, items = goods
    pk = items[0].pk
    assert not Item.objects.all().explain_cache(pk=pk).would_hit
    Item.objects.get(pk=pk)
    told = Item.objects.all().explain_cache(pk=pk)
    assert told.would_hit
    assert told.pattern == "row:pk"
    assert told.key.endswith(f":{pk}")
    many = Item.objects.all().explain_cache("in_bulk", [pk, items[1].pk])
    assert (many.key, many.more) == (told.key, 1)
    assert "the first of 2" in str(many)
    assert not Item.objects.all().explain_cache("get", sku="none").would_hit


def test_it_writes_nothing_counts_nothing_and_asks_no_database(
    goods, redis_client, silent_recorder
):
    """Of the recorder's own thread, which tells its state now and then, nothing is meant."""
    a, _b, items = goods
    list(Item.objects.filter(category=a.pk))
    Item.objects.filter(category=a.pk).update(stock=1)
    current_store().settle()  # the release is on its way, and Redis is looked at over another line
    before = everything_in_redis(redis_client)
    with CaptureQueriesContext(connection) as queries, seen() as found:
        Item.objects.filter(category=a.pk).explain_cache()
        Item.objects.filter(category=a.pk).explain_cache("count")
        Item.objects.all().explain_cache(pk=items[0].pk)
        Item.objects.uncached().explain_cache()
        Item.objects.filter(made__lt=Now()).explain_cache("exists")
    assert not queries.captured_queries
    assert found.events == []
    assert everything_in_redis(redis_client) == before


BYPASSES = {
    "uncached()": lambda: Item.objects.uncached(),
    "select_for_update": lambda: Item.objects.select_for_update(),
    "unknown word statement_timestamp": lambda: Item.objects.filter(made__lt=Now()),
    "not registered": lambda: Secret.objects.all(),
}


@pytest.mark.parametrize("reason", BYPASSES)
def test_it_tells_why_a_read_is_no_question_for_the_cache(goods, reason):
    with transaction.atomic():  # outside of one, Django refuses select_for_update()
        told = BYPASSES[reason]().explain_cache()
    assert told.bypass == reason
    assert told.why_not == (f"bypass: {reason}",)
    assert told.key is None
    assert "not cached" in str(told)


def test_it_tells_of_transactions_blocks_and_policies_that_keep_reads_away(goods):
    with uncached():
        assert Item.objects.all().explain_cache().bypass == "uncached block"
    with transaction.atomic():
        Item.objects.filter(sku="s0").update(stock=2)
        assert Item.objects.all().explain_cache().bypass == "transaction has written"
        assert Item.objects.all().explain_cache("count").bypass == "transaction has written"
    with policy_of(Item, tier="never"):
        assert Item.objects.all().explain_cache().bypass == "tier never"
    assert "without asking anybody" in Item.objects.none().explain_cache().bypass


def test_tags_say_why_the_entry_rests_on_them(goods):
    a, _b, _items = goods
    told = Item.objects.filter(category=a.pk).cached(tags=[tag("home", 3)]).explain_cache()
    whys = {
        seen.tag.partition("@")[2].partition(":")[2] or seen.tag: seen.why
        for seen in told.seen.tags
    }
    assert "category = " in whys[f"category={a.pk}"]
    assert "named" in whys["#home:3"]
    wide = Item.objects.filter(price__gt=1).explain_cache()
    assert any("no exact condition" in seen.why for seen in wide.seen.tags)


def test_the_policy_says_where_each_value_came_from(goods, settings):
    told = Item.objects.all().explain_cache().policy
    assert told["tier"] == ("semi_static", "tests.app.caching.ItemPolicy")
    assert told["consistency"] == ("strict", "default")
    assert told["ttl"] == (900, "tier 'semi_static', built in")
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "MODELS": {"app.Item": {"ttl": 60}},
        "TIERS": {"semi_static": {"negative_ttl": 5}},
        "JITTER": 0.2,
    }
    told = Item.objects.all().explain_cache().policy
    assert told["ttl"] == (60, 'CACHEPATTERNS["MODELS"]["app.Item"]')
    assert told["tier"].where == "tests.app.caching.ItemPolicy"
    assert told["negative_ttl"] == (5, 'CACHEPATTERNS["TIERS"]["semi_static"]')
    assert told["jitter"] == (0.2, 'CACHEPATTERNS["JITTER"]')


def test_a_guard_that_is_closed_is_told(goods):
    list(Item.objects.all())
    (guard,) = [g.name for g in Item.objects.all().explain_cache().seen.guards]
    current_store().backend.delete([guard_key("shop-cp", guard)])
    told = Item.objects.all().explain_cache()
    assert not told.would_hit
    assert told.why_not[0].startswith(f"guard {guard}: missing")


def test_it_is_readable_and_plain_data(goods):
    list(Item.objects.all())
    told = Item.objects.all().explain_cache()
    text = str(told)
    assert text.startswith("app.item list: would hit")
    assert "rests on" in text
    assert "tests.app.caching.ItemPolicy" in text
    data = json.loads(json.dumps(told.as_dict()))
    assert data["would_hit"] is True
    assert data["cache"]["rows"] == 4
    assert {seen["state"] for seen in data["cache"]["tags"]} == {"stands"}


def test_with_redis_away_it_says_so(goods, settings):
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    told = Item.objects.all().explain_cache()
    assert not told.would_hit
    assert "does not answer" in told.why_not[0]


def test_plans_that_an_explanation_has_made_work_as_any(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 0}  # forgets the plans
    queryset = Item.objects.filter(stock__gte=0, rating=None).order_by("-pk")
    queryset.explain_cache()
    found = [item.sku for item in queryset.all()]
    assert found == ["s3", "s2", "s1", "s0"]
    assert [item.sku for item in queryset.all()] == found


def test_an_entry_past_its_time_is_told_apart(goods, settings, monkeypatch):
    from cachepatterns.read import looking

    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "TIERS": {"semi_static": {"jitter": 0, "stale_for": 60, "stale_if_error": 600}},
    }
    list(Item.objects.all())
    now = looking.time.time
    with monkeypatch.context() as patch:
        patch.setattr(looking.time, "time", lambda: now() + 920)
        told = Item.objects.all().explain_cache()
        assert told.would_hit
        assert "would hit, past its time" in str(told)
    monkeypatch.setattr(looking.time, "time", lambda: now() + 1200)
    told = Item.objects.all().explain_cache()
    assert not told.would_hit
    assert told.why_not[-1].startswith("its time has been over for")


def test_coroutines_have_it_too(goods):
    pk = goods[2][0].pk

    async def ask():
        before = await Item.objects.all().aexplain_cache(pk=pk)
        await Item.objects.aget(pk=pk)
        after = await Item.objects.all().aexplain_cache(pk=pk)
        return before.would_hit, after.would_hit

    assert async_to_sync(ask)() == (False, True)
