"""cache_stats prints the report, and fails a pipeline whose hit rate is too low."""

import json
import time

import pytest

from cachepatterns.observe import InvalidationEvent, ReadEvent
from cachepatterns.stats.recorder import Recorder


@pytest.fixture
def counted():
    recorder = Recorder(background=False)
    for outcome, times in (("hit", 225), ("miss", 75)):
        for _ in range(times):
            recorder(ReadEvent("app.item", "list", outcome, 0.001, 0.004))
    recorder.flush()


def test_it_prints_totals_and_a_table(run, counted):
    answer = run("cache_stats")
    assert answer.code == 0
    assert "hit rate 75.0 % of 300 questions" in answer.out
    assert "investigate" in answer.out


def test_as_json_it_has_every_model_and_pattern(run, counted):
    data = json.loads(run("cache_stats", "app.item", "--json").out)
    (item,) = data["models"]
    assert item["hit_rate"] == 0.75
    assert item["patterns"][0]["pattern"] == "list"
    assert item["verdict"]["level"] == "investigate"


def test_it_tells_the_call_sites_of_coarse_writes(run, counted):
    assert "seen only by their table" not in run("cache_stats").out
    recorder = Recorder(background=False)
    for _ in range(3):
        recorder(InvalidationEvent(
            ("app.item",), ("app.item@ab",), "raw SQL", coarse=True, site="shop.jobs:12"
        ))  # fmt: skip
    recorder.flush()
    out = run("cache_stats").out
    assert "seen only by their table" in out
    assert out.rstrip().splitlines()[-1].split() == ["app.item", "raw", "SQL", "shop.jobs:12", "3"]
    (item,) = json.loads(run("cache_stats", "app.item", "--json").out)["models"]
    assert item["coarse_call_sites"] == [{"source": "raw SQL", "site": "shop.jobs:12", "times": 3}]


@pytest.mark.parametrize(("limit", "code"), [("75", 0), ("80", 1)])
def test_it_fails_under_a_hit_rate(run, counted, limit, code):
    assert run("cache_stats", "--fail-under", limit).code == code


def test_too_few_reads_are_not_judged(run):
    answer = run("cache_stats", "--fail-under", "80")
    assert answer.code == 0
    assert "Too few reads" in answer.err


def test_it_looks_back_as_far_as_it_is_told(run):
    recorder = Recorder(background=False, clock=lambda: time.time() - 3 * 3600)
    recorder(ReadEvent("app.item", "list", "hit", 0.001))
    recorder.flush()
    assert json.loads(run("cache_stats", "--json").out)["totals"]["hits"] == 0
    assert json.loads(run("cache_stats", "--json", "--since", "6h").out)["totals"]["hits"] == 1


def test_watching_ends_with_ctrl_c(run, counted, monkeypatch):
    shown = []

    def sleep(seconds):
        shown.append(seconds)
        if len(shown) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cachepatterns.management.commands.cache_stats.time.sleep", sleep)
    answer = run("cache_stats", "--watch")
    assert answer.code == 0
    assert answer.out.count("hit rate 75.0 %") == 3


def test_a_model_nobody_registered_is_a_usage_error(run):
    assert run("cache_stats", "app.Secret").code == 2


def test_without_redis_it_says_so(run, redis_down):
    assert run("cache_stats").code == 4


def test_in_prometheus_text_format_it_is_what_its_parser_takes(run, counted):
    from prometheus_client.parser import text_string_to_metric_families

    answer = run("cache_stats", "app.item", "--prom")
    assert answer.code == 0
    found = {
        (sample.name, sample.labels.get("result") or sample.labels.get("quantile")): sample.value
        for family in text_string_to_metric_families(answer.out)
        for sample in family.samples
    }
    assert found["cachepatterns_fleet_reads", "hit"] == 225
    assert found["cachepatterns_fleet_reads", "miss"] == 75
    assert found["cachepatterns_fleet_hit_ratio", None] == 0.75
    assert 0 < found["cachepatterns_fleet_hit_seconds", "0.95"] < 0.01
    assert found["cachepatterns_fleet_up", None] == 1
    assert run("cache_stats", "--prom", "--json").code == 2
