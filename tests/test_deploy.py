"""The deployment files speak of things that exist: metrics, settings, commands, services."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import REGISTRY

import api.metrics
import api.runs.metrics
import api.worker
from api.cli import build
from api.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NOT_OURS = {"POSTGRES_DB", "POSTGRES_PASSWORD", "GOALS_LOGIN_PASSWORD", "RABBITMQ_PASSWORD"}


def _compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def _metrics() -> set[str]:
    assert api.metrics.REQUESTS
    assert api.runs.metrics.RUNS_ACTIVE
    assert api.worker.LAG
    families = {family.name: family.type for family in REGISTRY.collect() if family.name.startswith("goals_")}
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {name + ending for name, kind in families.items() for ending in endings[kind]}


@pytest.mark.parametrize("path", ["grafana/dashboards/goals.json", "prometheus/alerts.yml"])
def test_every_metric_that_is_watched_is_measured(path: str) -> None:
    watched = set(re.findall(r"\bgoals_[a-z_]+\b", (DEPLOY / path).read_text()))
    assert len(watched) >= 8
    assert watched - _metrics() == set()


def test_the_dashboard_has_no_panel_twice_and_none_over_another() -> None:
    panels = json.loads((DEPLOY / "grafana/dashboards/goals.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_variable_of_the_composition_is_a_setting_and_documented() -> None:
    documented = (ROOT / ".env.example").read_text()
    text = (DEPLOY / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+)", text)) | set(_compose()["x-service"]["environment"])
    for name in wanted - NOT_OURS:
        assert name.lower() in Settings.model_fields, name
        assert re.search(rf"^#? ?{name}=", documented, re.MULTILINE), f"{name} is missing in .env.example"
    for name in wanted & NOT_OURS - {"POSTGRES_DB"}:
        assert re.search(rf"^#? ?{name}=", documented, re.MULTILINE), f"{name} is missing in .env.example"


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "GOALS_LOGIN_PASSWORD", "RABBITMQ_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert set(uses) == {":?"}


def test_every_command_of_the_composition_exists() -> None:
    known = {str(name) for name in getattr(typer.main.get_command(build()), "commands", {})}
    used = {
        service["command"][1]
        for service in _compose()["services"].values()
        if service.get("command", [""])[0] == "goals"
    }
    docker = re.search(r'^CMD \["goals", "(\w+)"\]', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert docker is not None
    assert {*used, docker[1]} >= {"serve", "worker", "migrate"}
    assert {*used, docker[1]} <= known


def test_everything_the_mission_names_is_composed() -> None:
    services = _compose()["services"]
    assert {"postgres", "rabbitmq", "redis", "api", "worker", "prometheus", "grafana"} <= set(services)
    assert "pgvector" in services["postgres"]["image"]
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))
