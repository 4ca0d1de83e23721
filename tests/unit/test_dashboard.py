"""Dashboard and alerts ask only for what there is, in a way that is right for many processes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from observability import metrics
from orchestration.settings import Settings
from tests.unit.test_metrics import COLLECTORS

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/greenroom.json").read_text())
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERT_TESTS = yaml.safe_load((DEPLOY / "prometheus/alerts_test.yml").read_text())["tests"]
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
} | {rule["alert"]: rule["expr"] for rule in ALERTS}

#: Exported names by the collector that exports them.
EXPORTED: dict[str, Counter | Gauge | Histogram] = {
    exported: collector
    for collector in COLLECTORS.values()
    for exported in (
        [f"{collector._name}_total"]
        if isinstance(collector, Counter)
        else [f"{collector._name}_{end}" for end in ("bucket", "sum", "count")]
        if isinstance(collector, Histogram)
        else [collector._name]
    )
}
MEASURED = {
    one.gauge._name: one for one in vars(metrics).values() if isinstance(one, metrics.Measured)
}
#: What stands for the values of a label that is known only at run time.
CLOSED = {
    "phase": metrics.PHASES,
    "verdict": metrics.VERDICTS,
    "stage": metrics.STAGES,
    "since": ("go_live", "media"),
    "reason": metrics.TAKE_REASONS,
    "via": metrics.VIA,
    "result": metrics.CACHE_RESULTS,
    "operation": metrics.STORAGE_OPERATIONS,
    "purpose": metrics.REDIS_PURPOSES,
    "event": metrics.WEBHOOKS,
    "gauge": tuple(one.name for one in MEASURED.values()),
    "tick": (metrics.SWEEP,),
}
#: The same label means different things in different collectors.
CLOSED_OF = {
    ("greenroom_jobs_total", "kind"): metrics.JOB_KINDS,
    ("greenroom_job_seconds_bucket", "kind"): metrics.JOB_KINDS,
    ("greenroom_drift", "kind"): metrics.DRIFTS,
    ("greenroom_jobs_total", "outcome"): metrics.JOB_OUTCOMES,
    ("greenroom_takes_total", "outcome"): metrics.TAKE_OUTCOMES,
    ("greenroom_livekit_calls_total", "outcome"): metrics.CALL_OUTCOMES,
    ("greenroom_webhooks_received_total", "outcome"): metrics.WEBHOOK_OUTCOMES,
}

SELECTOR = re.compile(r"\b(greenroom_[a-z_]+|up|ALERTS)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Give each series name of a query with its matchers: (label, operator, value)."""
    return [(name, MATCHER.findall(matchers)) for name, matchers in SELECTOR.findall(query)]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_asks_only_for_what_is_exported(query: str):
    """Names, labels and label values: a spelling mistake is an empty panel or a dead alert."""
    for name, matchers in selectors(query):
        if name in ("up", "ALERTS"):
            continue
        assert name in EXPORTED
        for label, operator, text in matchers:
            assert label in EXPORTED[name]._labelnames
            known = CLOSED_OF.get((name, label)) or CLOSED.get(label)
            if known is not None:
                asked = text.split("|") if "~" in operator else [text]
                assert set(asked) <= set(known)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_groups_by_labels_that_exist(query: str):
    """What is summed by a label has it."""
    labels = {label for name, _ in selectors(query) if name in EXPORTED
              for label in EXPORTED[name]._labelnames} | {"le"}  # fmt: skip
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in group.split(",")} <= labels


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_is_right_for_several_processes(query: str):
    """Counters are added up, buckets too; a measured gauge is taken from who measured it last."""
    for found in SELECTOR.finditer(query):
        name, position = found[1], found.start()
        if isinstance(EXPORTED.get(name), Counter | Histogram):
            assert re.search(
                r"sum(?: by \([^)]*\))? \((?:rate|increase)\($|sum\((?:rate|increase)\($",
                query[:position],
            ), f"{name} is not summed over its rate"
        if name in MEASURED:
            newest = (
                "and on (job, instance) topk(1, greenroom_measured_timestamp_seconds"
                f'{{gauge="{MEASURED[name].name}"}})'
            )
            assert newest in " ".join(query.split())


def test_every_metric_is_looked_at():
    """A metric in neither dashboard nor alerts is not worth its series."""
    asked = {name for query in QUERIES.values() for name, _ in selectors(query)}
    collectors = {EXPORTED[name]._name for name in asked if name in EXPORTED}

    assert {collector._name for collector in COLLECTORS.values()} == collectors


def test_the_dashboard_can_be_read_from_top_to_bottom():
    """Panels do not overlap, each says what it shows, and all take the chosen Prometheus."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not covered & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= covered

    assert len(ids) == len(set(ids))
    assert all(panel["description"].endswith((".", ";")) for panel in PANELS)
    for panel in PANELS:
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [one["type"] for one in DASHBOARD["templating"]["list"]] == ["datasource"]


def test_the_dashboards_rows_are_an_operators_questions_in_order():
    """From "is everything all right?" down to single parts."""
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]

    assert rows == [
        "Is everything all right?",
        "Who is live?",
        "Is go_live fast?",
        "Can viewers see it?",
        "Are recordings whole?",
        "Do queues and workers keep up?",
        "Is LiveKit well?",
        "Is the API well?",
    ]


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]):
    """Somebody who was asleep reads it: one line, what is wrong, and steps."""
    assert rule["alert"].startswith("Greenroom")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert len(rule["annotations"]["summary"]) <= 60
    assert len(rule["annotations"]["description"]) >= 80
    assert "1. " in rule["annotations"]["runbook"]


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_a_runbook_names_only_what_can_be_found(rule: dict[str, Any]):
    """Events are in the log, settings are ours, other alerts exist."""
    text = " ".join(rule["annotations"].values())
    sources = "".join(
        path.read_text()
        for package in ("api", "workers", "orchestration", "observability")
        for path in sorted((DEPLOY.parent / package).rglob("*.py"))
    )

    events = re.findall(r'"([a-z]+_[a-z_]+)"', text)
    settings = re.findall(r"GREENROOM_([A-Z_]+[A-Z])", text)
    alerts = re.findall(r"Greenroom[A-Z]\w+", text)

    assert [event for event in events if f'"{event}"' not in sources] == []
    assert {name.lower() for name in settings} <= set(Settings.model_fields)
    assert set(alerts) <= {one["alert"] for one in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_has_tests_that_it_fires_and_clears(rule: dict[str, Any]):
    """In alerts_test.yml: somewhere it is there, and later it is gone."""
    asked = f'count(ALERTS{{alertname="{rule["alert"]}",alertstate="firing"}})'
    stories = [
        [bool(check["exp_samples"]) for check in test["promql_expr_test"]]
        for test in ALERT_TESTS
        if all(check["expr"] == asked for check in test["promql_expr_test"])
    ]

    assert stories, "no test"
    assert all(story[-2:] == [True, False] for story in stories)


def test_prometheus_scrapes_the_jobs_that_alerts_and_dashboard_know():
    """A renamed job would make `up` and `absent` say nothing, or cry for ever."""
    scraped = {job["job_name"] for job in PROMETHEUS["scrape_configs"]}
    asked = {
        value
        for query in QUERIES.values()
        for name, matchers in selectors(query)
        if name == "up"
        for label, _, value in matchers
        if label == "job"
    }

    assert scraped == asked
