"""Prometheus' own tool reads our rules, their tests and our configuration, and likes our names."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

import observability.metrics  # noqa: F401 - what is exported
from observability import exposition
from tests.system.prometheus import promtool

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def test_promtool_accepts_the_rules():
    """Every expression parses, and every template in the annotations too."""
    said = promtool("check", "rules", PROMETHEUS / "alerts.yml")

    assert f"{len(ALERTS)} rules found" in said


def test_promtool_accepts_the_configuration():
    """The file that the README tells to start Prometheus with is one that it starts with."""
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")

    assert "1 rule files found" in said


def test_every_alert_fires_and_clears():
    """The stories of alerts_test.yml come out as told."""
    said = promtool("test", "rules", PROMETHEUS / "alerts_test.yml")

    assert "SUCCESS" in said


@pytest.mark.parametrize("alert", ALERTS)
def test_the_stories_notice_a_missing_alert(alert: str, tmp_path: Path):
    """An alert that never fires fails its story, so that the stories are worth something."""
    rules = (PROMETHEUS / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(rules.replace(f"alert: {alert}\n", "alert: Nobody\n"))
    stories = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())
    stories["tests"] = [one for one in stories["tests"] if one["name"].startswith(f"{alert}.")]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(stories))

    with pytest.raises(AssertionError, match=alert):
        promtool("test", "rules", tmp_path / "alerts_test.yml")


def test_promtool_can_read_every_query_of_the_dashboard(tmp_path: Path):
    """As rules, with Grafana's variables as Grafana fills them in."""
    dashboard = json.loads((PROMETHEUS.parent / "grafana/greenroom.json").read_text())
    queries = [
        target["expr"].replace("$__rate_interval", "40s").replace("$__range", "1h")
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    rules = [{"record": f"query:{number}", "expr": one} for number, one in enumerate(queries)]
    page = tmp_path / "queries.yml"
    page.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    said = promtool("check", "rules", page)

    assert f"{len(queries)} rules found" in said


def test_promtool_has_nothing_to_say_about_our_metrics():
    """Names, units and helps are as Prometheus' users expect them."""
    _, text = exposition.render()
    ours = [line for line in text.splitlines() if b"greenroom_" in line]
    assert len(ours) > 100

    said = subprocess.run(
        ["promtool", "check", "metrics"],
        input=b"\n".join(ours) + b"\n",
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
