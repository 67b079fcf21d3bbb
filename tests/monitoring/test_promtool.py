"""The rules as Prometheus itself takes them, by its own promtool: ``rules.test.yml`` has series,
and what each alert makes of them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command

from cachepatterns.contrib.prometheus.files import text_of

SERIES = Path(__file__).parent / "rules.test.yml"

promtool = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    promtool is None, reason="promtool is not on the PATH (Debian: in the package prometheus)"
)


def told(*arguments):
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
@pytest.mark.parametrize("namespace", ["", "site"])
def test_prometheus_takes_the_rules_that_the_command_prints(settings, capsys, tmp_path, namespace):
    settings.PROMETHEUS_METRIC_NAMESPACE = namespace
    call_command("cache_monitoring", "rules")
    (tmp_path / "rules.yml").write_text(capsys.readouterr().out)
    assert "SUCCESS" in told("check", "rules", "--lint-fatal", tmp_path / "rules.yml")


@needs_promtool
def test_the_rules_make_of_series_what_they_are_for():
    assert "SUCCESS" in told("test", "rules", SERIES)


def test_each_alert_has_series_for_which_it_fires_and_others_for_which_it_does_not():
    fires, does_not = set(), set()
    for one in yaml.safe_load(SERIES.read_text())["tests"]:
        for looked_at in one.get("alert_rule_test", ()):
            (fires if looked_at["exp_alerts"] else does_not).add(looked_at["alertname"])
    groups = yaml.safe_load(text_of("rules"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert fires == does_not == alerts
