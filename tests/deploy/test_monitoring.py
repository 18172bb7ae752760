"""Dashboard and alerts: they use existing metrics and labels, in valid PromQL."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serve.metrics import Metrics
from tests.docker.dockerfile import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
CONDITIONS = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]


def _samples() -> dict[str, set[str]]:
    """Return the server's series after every event has occurred, with their labels."""
    metrics = Metrics()
    metrics.requests.labels("/v1/chat/completions", 200).inc()
    metrics.duration.labels("/v1/chat/completions").observe(1)
    metrics.answers.labels("content_filter").inc()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _promtool(*arguments: str | Path) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("query", [*QUERIES, *CONDITIONS])
def test_queries_use_existing_metrics_and_labels(query: str) -> None:
    samples = _samples()
    asked = re.findall(r"\b(gristmill_\w+)(?:\{([^}]*)\})?", query)
    assert asked or query.startswith("up{")
    for name, matchers in asked:
        assert name in samples
        assert set(re.findall(r"(\w+)\s*[=!]~?", matchers)) <= samples[name], query
    for labels in re.findall(r"by \(([^)]*)\)", query):
        assert set(labels.split(", ")) <= samples[asked[0][0]], query


def test_every_metric_is_on_the_dashboard() -> None:
    exported = {name for name in _samples() if not name.endswith(("_created", "_sum", "_count"))}
    assert exported <= {name for query in QUERIES for name in re.findall(r"gristmill_\w+", query)}


def test_dashboard_is_consistent() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [(place["x"] // 8, place["y"]) for place in places]
    assert len(set(cells)) == len(cells)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert DASHBOARD["templating"]["list"][0]["name"] == "datasource"
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_alerts_have_summary_and_description() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "description"}
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["for"]


def test_promtool_accepts_the_configuration() -> None:
    _promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_as_specified() -> None:
    _promtool("test", "rules", Path(__file__).with_name("alerts.test.yaml"))


def test_dashboard_queries_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel_{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", tmp_path / "rules.yaml")
