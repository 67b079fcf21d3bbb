"""cache_purge throws out what it is told to, asks first, and never guesses a target."""

import io
import json

import pytest

from cachepatterns import cached, tag
from cachepatterns.backends.store import current_store
from tests.app.models import Category, Item
from tests.events import outcome_of


@pytest.fixture
def warm(items):
    for item in items:
        Item.objects.get(pk=item.pk)
    Category.objects.get(pk=items[0].category_id)
    return items


def item_outcome(item):
    return outcome_of(lambda: Item.objects.get(pk=item.pk))


def test_one_object(run, warm):
    answer = run("cache_purge", f"app.Item:{warm[0].pk}", "--noinput")
    assert answer.code == 0
    assert "1 keys deleted" in answer.out
    assert item_outcome(warm[0]) == "miss"
    assert item_outcome(warm[1]) == "hit"


def test_one_model(run, warm):
    run("cache_purge", "app.Item", "--noinput")
    assert item_outcome(warm[0]) == "miss"
    assert outcome_of(lambda: Category.objects.get(pk=warm[0].category_id)) == "hit"


def test_one_app(run, warm):
    run("cache_purge", "app", "--noinput")
    assert item_outcome(warm[0]) == "miss"
    assert outcome_of(lambda: Category.objects.get(pk=warm[0].category_id)) == "miss"


@pytest.mark.parametrize("name", ["#front:1", "front:1", "front"])
def test_one_tag(run, warm, name):
    listing = cached(Item.objects.all(), tags=[tag("front", 1)])
    list(listing)
    assert outcome_of(lambda: list(listing.all())) == "hit"
    answer = run("cache_purge", "--tag", name, "--noinput")
    assert "1 tags bumped" in answer.out
    assert outcome_of(lambda: list(listing.all())) == "miss"


def test_a_pattern_of_keys(run, warm):
    run("cache_purge", "--pattern", "row:app.item.*", "--noinput")
    assert item_outcome(warm[0]) == "miss"
    assert outcome_of(lambda: Category.objects.get(pk=warm[0].category_id)) == "hit"


def test_everything_but_the_statistics(run, warm, own_prefix):
    backend = current_store().backend
    backend.add({f"{own_prefix}:stats:x": {"a": 1}}, 60)
    answer = run("cache_purge", "--all", "--noinput", "--json")
    assert json.loads(answer.out)["purged"][0]["keys"] > 4
    left = {k for page in backend.scan(f"{own_prefix}:*", limit=10**6) for k in page}
    # Nor the guards, in which writers stand: without them every model is in quarantine.
    assert {k for k in left if ":guard:" not in k} == {f"{own_prefix}:stats:x"}
    assert item_outcome(warm[0]) == "miss"


def test_a_dry_run_purges_nothing(run, warm):
    answer = run("cache_purge", "app.Item", "--dry-run")
    assert "3 keys would be deleted" in answer.out
    assert item_outcome(warm[0]) == "hit"


@pytest.mark.parametrize(("typed", "code", "after"), [("yes\n", 0, "miss"), ("no\n", 1, "hit")])
def test_it_asks_first(run, warm, monkeypatch, typed, code, after):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert run("cache_purge", "app.Item").code == code
    assert item_outcome(warm[0]) == after


def test_where_nobody_can_answer_nothing_is_purged(run, warm, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    answer = run("cache_purge", "app.Item")
    assert answer.code == 2
    assert "--noinput" in answer.err
    assert item_outcome(warm[0]) == "hit"


@pytest.mark.parametrize(
    "words", [[], ["app.Nothing"], ["nowhere"], ["app.Item:x"], ["app.Item", "--all"]]
)
def test_no_target_or_a_wrong_one_is_a_usage_error(run, warm, words):
    assert run("cache_purge", *words, "--noinput").code == 2
    assert item_outcome(warm[0]) == "hit"


def test_without_redis_it_says_so(run, items, redis_down):
    assert run("cache_purge", "--all", "--noinput").code == 4
