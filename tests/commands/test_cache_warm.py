"""cache_warm fills the cache with what policies declare, and says what it did."""

import json

import pytest

from tests.app.caching import ItemPolicy
from tests.app.models import Item
from tests.events import outcome_of


def warmed(answer, label="app.item"):
    return next(m for m in json.loads(answer.out)["models"] if m["label"] == label)


def test_the_first_reader_after_it_has_a_hit(run, warmable):
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 0
    found = warmed(answer)
    assert (found["asked"], found["stored"], found["rows"]) == (3, 3, 9)
    category = warmable[0].category_id
    assert outcome_of(lambda: list(Item.objects.filter(category=category))) == "hit"


def test_what_is_warm_already_is_left_alone(run, warmable):
    run("cache_warm", "--all")
    assert warmed(run("cache_warm", "app", "--json"))["already_warm"] == 3


def test_with_a_batch_size_the_rows_are_stored_too(run, warmable):
    run("cache_warm", "app.Item", "--batch-size", "2")
    assert outcome_of(lambda: Item.objects.get(pk=warmable[0].pk)) == "hit"


def test_a_model_that_declares_nothing_warms_nothing_and_is_told(run, items):
    answer = run("cache_warm", "app.Category")
    assert answer.code == 0
    assert "nothing to warm" in answer.out


def test_a_dry_run_warms_nothing(run, warmable):
    answer = run("cache_warm", "app.Item", "--dry-run")
    assert "app.item: 3 querysets" in answer.out
    assert outcome_of(lambda: list(Item.objects.all())) == "miss"


def test_the_limit_is_per_model(run, warmable):
    assert warmed(run("cache_warm", "app.Item", "--limit", "1", "--json"))["asked"] == 1


def test_only_models_of_a_tier(run, warmable):
    answer = run("cache_warm", "--all", "--tier", "semi_static", "--json")
    assert "app.item" in answer.out
    assert "app.category" not in answer.out


def test_out_of_time_it_is_partly_done(run, warmable):
    answer = run("cache_warm", "app.Item", "--max-seconds", "0")
    assert answer.code == 3
    assert "not finished" in answer.out


def test_a_queryset_that_fails_does_not_stop_the_others(run, items, monkeypatch):
    monkeypatch.setattr(
        ItemPolicy, "warm", lambda self: [Item.objects.extra(where=["no"]), Item.objects.all()]
    )
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 3
    assert len(warmed(answer)["failed"]) == 1
    assert warmed(answer)["stored"] == 1


def test_when_all_fail_it_has_failed(run, items, monkeypatch):
    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [Item.objects.extra(where=["no"])])
    assert run("cache_warm", "app.Item").code == 1


def test_what_can_not_be_cached_is_told_with_the_reason(run, items, monkeypatch):
    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [Item.objects.order_by("?")])
    answer = run("cache_warm", "app.Item")
    assert "1 not cached: " in answer.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "--all"),
        (["app.Itme"], "Did you mean 'app.item'?"),
        (["--all", "--tier", "statik"], "Did you mean 'static'?"),
        (["--all", "--limit", "0"], "1 or more"),
    ],
)
def test_usage_errors_say_what_is_meant(run, items, words, hint):
    answer = run("cache_warm", *words)
    assert answer.code in (1, 2)  # argparse raises through `call_command`, and exits 2 itself
    assert hint in answer.err


def test_without_redis_it_says_so(run, warmable, redis_down):
    assert run("cache_warm", "--all").code == 4


def test_interrupted_it_tells_what_was_done(run, items, monkeypatch):
    def warm(self):
        yield Item.objects.all()
        raise KeyboardInterrupt

    monkeypatch.setattr(ItemPolicy, "warm", warm)
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 3
    assert warmed(answer)["stored"] == 1
    assert "Interrupted" in answer.err


def test_progress_goes_to_stderr_by_tenths(run, warmable):
    answer = run("cache_warm", "--all", "--json")
    json.loads(answer.out)
    assert "100 %" in answer.err
