"""What Prometheus is told, and that its rules and dashboard ask for just that."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess

from cachepatterns import observe
from cachepatterns.contrib import prometheus
from cachepatterns.contrib.prometheus import listener as module
from cachepatterns.contrib.prometheus import metrics
from cachepatterns.contrib.prometheus.files import text_of
from cachepatterns.contrib.prometheus.listener import Listener
from cachepatterns.observe import (
    ErrorEvent,
    InvalidationEvent,
    PatternEvent,
    ReadEvent,
    ShadowEvent,
    StateEvent,
    WarmEvent,
)
from tests.app.models import Item

REDIS_EXPORTER = {
    "redis_up",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_evicted_keys_total",
    "redis_expired_keys_total",
    "redis_connected_clients",
    "redis_connected_slave_lag_seconds",
    "redis_max_clients",
    "redis_config_maxclients",
}
"""From github.com/oliver006/redis_exporter: exporter/exporter.go (metricMapGauges,
metricMapCounters, metricDescriptions) and exporter/metrics.go (CONFIG as redis_config_*)."""


def value(name, **labels):
    return REGISTRY.get_sample_value(f"cachepatterns_{name}", labels) or 0.0


class Change:
    """By how much a sample has grown since it was first looked at."""

    def __init__(self, name, **labels):
        self.name, self.labels = name, labels
        self.before = value(name, **labels)

    def __call__(self):
        return value(self.name, **self.labels) - self.before


# -- what reads and writes are told as ---------------------------------------------------------


def test_reads_and_writes_are_counted_by_model_pattern_and_result(items):
    told = {"model": "app.item", "pattern": "row:pk"}
    misses, hits = (Change("requests_total", **told, result=how) for how in ("miss", "hit"))
    loads = Change("load_duration_seconds_count", **told)
    sizes = Change("value_size_bytes_count", model="app.item")
    gets = Change("operation_duration_seconds_count", operation="get")
    writes = Change("invalidations_total", model="app.item", source="save")
    tags = Change("invalidated_tags_total", model="app.item")
    for _ in range(3):
        Item.objects.get(pk=items[0].pk)
    assert (misses(), hits(), loads(), sizes(), gets()) == (1, 2, 1, 1, 3)
    items[0].save()
    assert writes() == 1
    assert tags() >= 2


def test_many_rows_are_counted_one_by_one_and_timed_as_one_operation(items):
    hits = Change("requests_total", model="app.item", pattern="row:pk", result="miss")
    took = Change("operation_duration_seconds_count", operation="get_many")
    Item.objects.in_bulk([item.pk for item in items])
    assert (hits(), took()) == (3, 1)


def test_bypasses_are_told_with_their_reasons_and_take_no_time_of_the_cache(items):
    bypassed = Change("requests_total", model="app.item", pattern="list", result="bypass")
    reasons = Change("bypasses_total", model="app.item", reason="uncached()")
    took = Change("operation_duration_seconds_count", operation="get")
    list(Item.objects.uncached())
    assert (bypassed(), reasons(), took()) == (1, 1, 0)


def test_all_else_that_happens_is_told(silent_recorder):
    failures = Change("invalidation_failures_total")
    errors = Change("errors_total", operation="read", kind="timeout")
    shared = Change("flight_waits_total", outcome="shared")
    failed = Change("flight_waits_total", outcome="failed")
    warmed = Change("warmed_total", model="app.item")
    stale = Change("shadow_total", model="app.item", verdict="stale")
    observe.emit(InvalidationEvent(("app.item",), ("app.item@x",), "save", delivered=False))
    observe.emit(ErrorEvent("read", "timeout"))
    assert value("breaker_open") == 1
    observe.emit(StateEvent(False, 7, 3.5))
    assert value("breaker_open") == 0
    assert (value("outbox_pending"), value("outbox_oldest_seconds")) == (7, 3.5)
    observe.emit(ReadEvent("app.item", "list", "shared", 0.01))
    observe.emit(ReadEvent("app.item", "list", "miss", 0.01, 0.005, reason="flight failed"))
    through = Change("pattern_events_total", model="app.item", what="written through")
    observe.emit(PatternEvent("app.item", "written through", 4))
    assert through() == 4
    expired = Change("pattern_events_total", model="app.item", what="stale: expired")
    observe.emit(ReadEvent("app.item", "list", "stale", 0.01, reason="expired"))
    assert expired() == 1
    observe.emit(WarmEvent("app.item", 12, 3))
    observe.emit(ShadowEvent("app.item", "list", "stale"))
    assert [failures(), errors(), shared(), failed(), warmed(), stale()] == [1, 1, 1, 1, 12, 1]


def test_outcomes_that_are_not_known_yet_are_told_too():
    later = Change("requests_total", model="app.item", pattern="list", result="refreshed")
    observe.emit(ReadEvent("app.item", "list", "refreshed", 0.01))
    assert later() == 1


def test_reads_are_counted_when_somebody_looks_and_a_hundred_without_that():
    def counted(pattern):
        return metrics.requests.labels("wait.ing", pattern, "hit")._value.get()

    observe.emit(ReadEvent("wait.ing", "looked at", "hit"))
    only = REGISTRY.restricted_registry(["cachepatterns_requests_total"])
    told = 'requests_total{model="wait.ing",pattern="looked at",result="hit"} 1.0'
    assert told in generate_latest(only).decode()
    for _ in range(module.COUNT_AT):
        observe.emit(ReadEvent("wait.ing", "not looked at", "hit"))
    assert counted("not looked at") == 0
    observe.emit(ReadEvent("wait.ing", "not looked at", "hit"))
    assert counted("not looked at") == module.COUNT_AT + 1


def test_patterns_and_reasons_are_bounded_and_no_label_holds_a_key(monkeypatch, items):
    monkeypatch.setattr(module, "MAX_PATTERNS", 3)
    monkeypatch.setattr(module, "MAX_WORDS", 3)
    some = Listener()
    for number in range(50):
        some(ReadEvent("bound.ed", f"pattern {number}", "hit"))
        some(ReadEvent("bound.ed", "list", "bypass", reason=f"reason {number}"))
    some.count_waiting()
    exported = generate_latest().decode()
    assert (
        len(set(re.findall(r'requests_total{model="bound.ed",pattern="([^"]+)"', exported))) == 4
    )
    assert len(set(re.findall(r'bypasses_total{model="bound.ed",reason="([^"]+)"', exported))) == 4
    assert 'model="bound.ed",pattern="other"' in exported
    assert len(some._reads) <= 8

    Item.objects.get(pk=items[0].pk)
    list(Item.objects.filter(sku="a"))
    assert ":row:" not in generate_latest().decode()
    labels = {name for metric in metrics.ALL for name in metric._labelnames}
    assert labels == {
        "model", "pattern", "result", "reason", "operation", "source", "kind", "outcome",
        "verdict", "what",
    }  # fmt: skip


def test_it_counts_where_django_prometheus_is_installed_or_the_settings_say_so(settings):
    assert prometheus.is_wanted()
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "PROMETHEUS": False}
    assert not prometheus.is_wanted()
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "PROMETHEUS": None}
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if "prometheus" not in app]
    assert not prometheus.is_wanted()


PROCESS = """
import django
django.setup()
from cachepatterns import observe
from cachepatterns.observe import InvalidationEvent, ReadEvent, StateEvent
for _ in range(5):
    observe.emit(ReadEvent("app.item", "list", "hit", 0.0004))
observe.emit(InvalidationEvent(("app.item",), ("app.item@x:*",), "save"))
observe.emit(StateEvent(False, int({pending}), 1.0))
"""


def test_all_processes_of_a_site_add_up_and_their_names_begin_with_the_namespace(tmp_path):
    metrics_folder = tmp_path / "metrics"
    metrics_folder.mkdir()
    (tmp_path / "settings.py").write_text(
        "SECRET_KEY = 'x'\n"
        "INSTALLED_APPS = ['cachepatterns', 'django.contrib.contenttypes', 'django_prometheus']\n"
        "CACHES = {'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}}\n"
        "PROMETHEUS_METRIC_NAMESPACE = 'site'\n"
        "PROMETHEUS_EXPORT_MIGRATIONS = False\n"
        "CACHEPATTERNS = {'STATS': False}\n"
    )
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder),
    }
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS.format(pending=n)], env=env)
        for n in (3, 4)
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(metrics_folder))
    told = {"model": "app.item", "pattern": "list", "result": "hit"}
    assert registry.get_sample_value("site_cachepatterns_requests_total", told) == 10
    exported = generate_latest(registry).decode()
    assert re.search(r"^site_cachepatterns_outbox_pending [34]\.0$", exported, re.MULTILINE)
    assert 'le="0.0005"' in exported


# -- what is shipped ------------------------------------------------------------------------------


def emitted():
    """The names of all samples that the code can emit."""
    found = set()
    for metric in metrics.ALL:
        kind, name = metric._type, metric._name
        suffixes = {
            "counter": ["_total"],
            "gauge": [""],
            "histogram": ["_bucket", "_sum", "_count"],
        }
        found |= {f"{name}{suffix}" for suffix in suffixes[kind]}
    return found


def labels_of(name):
    base = re.sub(r"_(total|bucket|sum|count)$", "", name)
    metric = next(m for m in metrics.ALL if m._name in (base, name))
    return {*metric._labelnames, "le", "instance", "job"}


def rules():
    return yaml.safe_load(text_of("rules"))["groups"]


def dashboard():
    return json.loads(text_of("dashboard"))


def recorded():
    return {rule["record"] for group in rules() for rule in group["rules"] if "record" in rule}


def expressions():
    found = [
        (rule.get("alert") or rule["record"], rule["expr"]) for g in rules() for rule in g["rules"]
    ]
    for panel in dashboard()["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return [
        (name, re.sub(r"\$__(rate_interval|range|interval)", "5m", expr).replace("$model", ".*"))
        for name, expr in found
    ]


def selectors(node):
    """The metrics that a parsed expression asks for, each with its labels."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {matcher.name for matcher in node.matchers.matchers}
    for attribute in ("expr", "lhs", "rhs", "vector_selector", "param", "args"):
        child = getattr(node, attribute, None)
        for each in child if isinstance(child, list) else [child]:
            if each is not None and not isinstance(each, str):
                yield from selectors(each)


@pytest.mark.parametrize(("name", "expr"), expressions(), ids=lambda text: text[:40])
def test_what_is_queried_is_emitted_with_these_labels(name, expr):
    found = list(selectors(promql_parser.parse(expr)))
    assert found, f"{name} asks for nothing"
    for metric, labels in found:
        assert metric in emitted() | recorded() | REDIS_EXPORTER, f"{name}: {metric}"
        if metric in emitted():
            assert labels <= labels_of(metric), f"{name}: {metric} has no {labels}"


def test_the_pages_name_no_metric_that_there_is_not():
    known = {metric._name for metric in metrics.ALL} | emitted()
    for page in (Path(__file__).parents[2] / "docs").rglob("*.md"):
        found = re.findall(r"`(cachepatterns_\w+?)(?:{[^`]*)?`", page.read_text())
        assert {name for name in found if not name.endswith("_")} <= known, page


def test_nothing_that_is_emitted_is_left_out_of_the_dashboard_and_the_rules():
    asked = {
        m for _name, expr in expressions() for m, _labels in selectors(promql_parser.parse(expr))
    }
    unasked = {
        metric._name
        for metric in metrics.ALL
        if not any(name.startswith(metric._name) for name in asked)
    }
    assert unasked == set()


def test_every_alert_of_the_list_is_there_with_a_severity_and_something_to_do():
    alerts = {r["alert"]: r for group in rules() for r in group["rules"] if "alert" in r}
    assert set(alerts) >= {
        "CacheHitRateLow", "CacheHitRateVeryLow", "CacheInvalidationFailed", "CacheOutboxOld",
        "CacheBreakerOpen", "CacheSlow", "RedisMemoryHigh", "RedisEvicts",
        "RedisConnectionsHigh", "RedisReplicaLags",
    }  # fmt: skip
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in {"warning", "critical"}, name
        assert alert["annotations"]["summary"], name
        assert re.fullmatch(r"\d+[smh]", alert.get("for", "0s")), name
    assert (alerts["CacheHitRateLow"]["for"], alerts["CacheHitRateVeryLow"]["for"]) == (
        "15m",
        "30m",
    )
    assert "for" not in alerts["CacheInvalidationFailed"]


def test_the_dashboard_s_panels_do_not_cover_each_other():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_command_prints_them_in_the_project_s_namespace(settings, capsys):
    from django.core.management import call_command

    settings.PROMETHEUS_METRIC_NAMESPACE = "site"
    call_command("cache_monitoring", "rules")
    printed = capsys.readouterr().out
    assert "rate(site_cachepatterns_requests_total{" in printed
    assert "cachepatterns:hit_ratio:rate5m" in printed
    assert not re.search(r"(?<!site_)cachepatterns_requests", printed)
    call_command("cache_monitoring", "dashboard")
    assert json.loads(capsys.readouterr().out)["title"] == "cachepatterns"
