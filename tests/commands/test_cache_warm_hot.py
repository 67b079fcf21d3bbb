"""cache_warm --hot: what was read most is there again before the first visitor comes."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cachepatterns.backends.store import current_store
from cachepatterns.purging import everything, purge
from cachepatterns.stats.recorder import recorder
from tests.app.models import Category, Item
from tests.policies import policy_of


@pytest.fixture
def hot(settings, items):
    """Rows and a list that the fleet has read, and told of."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "HOT_SHARE": 1}
    for _ in range(3):
        read(items)
    recorder.hot.flush(current_store().backend)
    recorder.hot.forget()
    return items


def read(items):
    Item.objects.get(pk=items[0].pk)
    Item.objects.get(sku="b")
    Category.objects.get(pk=items[0].category_id)
    list(Item.objects.filter(category=items[0].category_id))


def counts(answer):
    assert answer.code == 0, answer.err
    return {
        m["label"]: (m["asked"], m["stored"], m["already_warm"])
        for m in json.loads(answer.out)["models"]
    }


def test_after_everything_was_lost_nobody_asks_the_database(run, hot):
    purge(everything(), "test")
    assert counts(run("cache_warm", "--hot", "--json")) == {
        "app.item": (3, 3, 0),
        "app.category": (1, 1, 0),
    }
    with CaptureQueriesContext(connection) as queries:
        read(hot)
    assert len(queries) == 0


def test_after_a_deploy_that_has_changed_all_keys_the_rows_are_there(run, hot):
    with policy_of(Item, version=2):
        answer = run("cache_warm", "--hot", "--json")
        assert counts(answer)["app.item"][1] == 2
        with CaptureQueriesContext(connection) as queries:
            Item.objects.get(pk=hot[0].pk)
            Item.objects.get(sku="b")
        assert len(queries) == 0
    assert "other schema" in answer.out  # a list's statement may not fit its columns any more


@pytest.mark.parametrize("words", [(), ("--only-missing",)])
def test_what_is_there_costs_no_statement(run, hot, words):
    hot[0].save()
    with CaptureQueriesContext(connection) as queries:
        found = counts(run("cache_warm", "--hot", "--json", *words))
    assert found == {"app.item": (3, 2, 1), "app.category": (1, 0, 1)}
    assert len(queries) == 2  # the row that was written, and the list it stands in


def test_with_only_missing_what_is_there_is_not_even_read(run, hot, monkeypatch):
    reads = []
    original = current_store().backend.read
    monkeypatch.setattr(
        current_store().backend, "read", lambda *a, **k: reads.append(a) or original(*a, **k)
    )
    run("cache_warm", "--hot", "--no-writers", "--only-missing")
    assert len(reads) == 1


def test_labels_and_numbers_limit_it(run, hot):
    assert set(counts(run("cache_warm", "app.Category", "--hot", "--json"))) == {"app.category"}
    assert sum(asked for asked, *_ in counts(run("cache_warm", "--hot=2", "--json")).values()) == 2


def test_a_dry_run_tells_how_many(run, hot):
    assert "4 hot keys" in run("cache_warm", "--hot", "--dry-run").out


def test_several_workers_share_them(run, hot):
    purge(everything(), "test")
    found = counts(run("cache_warm", "--hot", "--workers=3", "--json"))
    assert sum(stored for _, stored, _ in found.values()) == 4
