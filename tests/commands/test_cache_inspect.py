"""cache_inspect shows an entry, and why it is valid or dead."""

import json

import pytest
from django.core.cache import caches

from cachepatterns.backends.store import current_store
from cachepatterns.core.key import guard_key
from cachepatterns.stats.recorder import recorder
from tests.app.models import Category, Item, Secret
from tests.policies import policy_of


@pytest.fixture(autouse=True)
def kept(settings, own_prefix):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 1}


def key_of(queryset):
    return queryset.explain_cache().key


def test_a_row_is_found_by_its_logical_name_and_is_valid(run, items):
    Item.objects.get(pk=items[0].pk)
    ran = run("cache_inspect", f"app.Item:{items[0].pk}")
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.startswith(f"app.Item:{items[0].pk} (default): valid")
    for word in (":row:app.item.", "ttl", "age", "bytes stored", "1 rows", "load", "open"):
        assert word in ran.out
    assert f":pk={items[0].pk}" in ran.out
    assert '"sku"' not in ran.out


def test_as_json_it_has_each_tag_with_both_stamps(run, items):
    name = f"app.Item:{items[0].pk}"
    Item.objects.get(pk=items[0].pk)
    (told,) = json.loads(run("cache_inspect", name, "--json").out)
    assert told["valid"] is True
    assert told["rows"] == 1
    assert 0 < told["ttl_left"] <= told["ttl"]
    assert all(tag["held"] == tag["standing"] for tag in told["tags"])
    assert "values" not in told
    Item.objects.filter(pk=items[0].pk).update(stock=7)
    ran = run("cache_inspect", name, "--json")
    assert ran.code == 1
    (told,) = json.loads(ran.out)
    assert told["valid"] is False
    dead = [tag for tag in told["tags"] if tag["held"] != tag["standing"]]
    assert [tag["tag"].partition(":")[2] for tag in dead] == [f"pk={items[0].pk}"]


def test_the_rows_are_shown_only_when_asked_for(run, items):
    Item.objects.get(pk=items[0].pk)
    name = f"app.Item:{items[0].pk}"
    assert '"sku": "a"' in run("cache_inspect", name, "--values").out
    (told,) = json.loads(run("cache_inspect", name, "--values", "--json").out)
    assert told["values"][0]["sku"] == "a"


def test_a_query_s_key_tells_its_statement_and_tags_where_they_were_kept(run, items):
    queryset = Item.objects.filter(category=items[0].category_id)
    list(queryset.all())
    ran = run("cache_inspect", key_of(queryset))
    assert ran.code == 0, ran.out + ran.err
    assert "valid" in ran.out
    assert "SELECT" in ran.out
    assert f":category={items[0].category_id}" in ran.out
    items[0].save()
    assert run("cache_inspect", key_of(queryset)).code == 1


def test_of_a_query_of_which_nothing_was_kept_it_says_so(run, items, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 0}
    queryset = Item.objects.filter(category=items[0].category_id)
    list(queryset.all())
    ran = run("cache_inspect", key_of(queryset))
    assert ran.code == 0
    assert "its tags are not known" in ran.out
    assert "explain_cache()" in ran.out
    (told,) = json.loads(run("cache_inspect", key_of(queryset), "--json").out)
    assert told["valid"] is None
    assert told["rows"] == 3


def test_of_a_query_that_is_read_much_it_knows_all(run, items, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 0, "HOT_SHARE": 0.1}
    queryset = Item.objects.filter(category=items[0].category_id)
    for _ in range(3):
        list(queryset.all())
    recorder.hot.flush(current_store().backend)
    assert "SELECT" in run("cache_inspect", key_of(queryset)).out


def test_a_row_by_a_unique_field_is_found_by_its_key(run, items):
    Category.objects.get(slug="chairs")
    key = Category.objects.all().explain_cache(slug="chairs").key
    ran = run("cache_inspect", key)
    assert ran.code == 0
    assert ran.out.startswith("app.Category:slug=chairs")


def test_what_is_not_stored_is_no_success(run, items):
    ran = run("cache_inspect", f"app.Item:{items[0].pk}")
    assert ran.code == 1
    assert "not stored" in ran.out


def test_a_lost_guard_and_another_schema_are_named(run, items):
    queryset = Item.objects.filter(category=items[0].category_id)
    list(queryset.all())
    key = key_of(queryset)
    with policy_of(Item, version=9):
        assert "schema" in run("cache_inspect", key).out
    (guard,) = {g.name for g in queryset.explain_cache().seen.guards}
    from cachepatterns.conf import config

    current_store().backend.delete([guard_key(config().PREFIX, guard)])
    ran = run("cache_inspect", key)
    assert ran.code == 1
    assert "missing" in ran.out


def test_what_can_not_be_decoded_is_told_and_never_raises(run, items):
    Item.objects.get(pk=items[0].pk)
    key = Item.objects.all().explain_cache(pk=items[0].pk).key
    caches["default"].client.get_client().set(key, b"\xc1 nonsense")
    ran = run("cache_inspect", key, "--values")
    assert ran.code == 1
    assert "can not be decoded" in ran.out


def test_it_changes_nothing(run, items):
    Item.objects.get(pk=items[0].pk)
    client = caches["default"].client.get_client()
    before = {key: client.dump(key) for key in client.scan_iter("command-test-*")}
    run("cache_inspect", f"app.Item:{items[0].pk}")
    assert {key: client.dump(key) for key in client.scan_iter("command-test-*")} == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nonsense", "neither app.Model:pk nor a key"),
        ("app.Nobody:1", "neither app.Model:pk nor a key"),
        ("app.Item:abc", "no primary key"),
        (f"{Secret._meta.label}:1", "not registered"),
        ("PREFIX:stats:1m:1", "no entry"),
    ],
)
def test_what_is_no_entry_is_a_usage_error(run, own_prefix, transactional_db, name, says):
    ran = run("cache_inspect", name.replace("PREFIX", own_prefix))
    assert ran.code == 2
    assert says in ran.err


def test_with_redis_away_it_says_so(run, redis_down):
    assert run("cache_inspect", "app.Item:1").code == 4
