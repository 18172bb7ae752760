"""Read the compose file."""

import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import yaml

from tests.docker.dockerfile import DOCKER


@dataclass(frozen=True)
class Service:
    """One service, with variables replaced by their defaults."""

    name: str
    target: str
    command: list[str]
    secrets: list[str]
    volumes: dict[str, str]
    """Source to target."""
    depends_on: dict[str, str]
    """Name to condition."""
    has_healthcheck: bool


def document(name: str = "compose.yaml") -> dict[str, Any]:
    """Return a compose file below docker/ as it is, variables included."""
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())
    return loaded


def services() -> dict[str, Service]:
    """Return all services by name."""
    return {name: _service(name, raw) for name, raw in document()["services"].items()}


def in_order(found: dict[str, Service]) -> list[Service]:
    """Sort services so that each follows those that it depends on."""
    graph = {name: set(service.depends_on) for name, service in found.items()}
    return [found[name] for name in TopologicalSorter(graph).static_order()]


def _service(name: str, raw: dict[str, Any]) -> Service:
    return Service(
        name=name,
        target=raw.get("build", {}).get("target", ""),
        command=_filled(raw.get("command", [])),
        secrets=raw.get("secrets", []),
        volumes=dict(_volume(volume) for volume in raw.get("volumes", [])),
        depends_on={other: how["condition"] for other, how in raw.get("depends_on", {}).items()},
        has_healthcheck="healthcheck" in raw,
    )


def _volume(volume: str | dict[str, Any]) -> tuple[str, str]:
    if isinstance(volume, dict):
        return volume["source"], volume["target"]
    source, _, target = volume.partition(":")
    return source, target


def _filled(words: list[str]) -> list[str]:
    """Replace ``${NAME:-default}`` and ``$$`` as compose does."""
    return [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word).replace("$$", "$") for word in words]
