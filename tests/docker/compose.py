"""Reading the compose file: its services as an engine sees them."""

import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import yaml

from tests.docker.dockerfile import DOCKER


@dataclass(frozen=True)
class Service:
    """One service, its variables filled in with their defaults."""

    name: str
    image: str
    target: str
    entrypoint: list[str] | None
    command: list[str]
    environment: dict[str, str]
    user: str
    cap_add: list[str]
    secrets: list[str]
    volumes: dict[str, str]
    """Source to target."""
    depends_on: dict[str, str]
    """Name to condition."""
    healthcheck: list[str]
    hosts: list[str]
    """One for each replica."""


def document() -> dict[str, Any]:
    """The file, variables as they are."""
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def services() -> dict[str, Service]:
    """All services by name."""
    return {name: _service(name, raw) for name, raw in document()["services"].items()}


def in_order(found: dict[str, Service]) -> list[Service]:
    """Each after those that it depends on."""
    graph = {name: set(service.depends_on) for name, service in found.items()}
    return [found[name] for name in TopologicalSorter(graph).static_order()]


def _service(name: str, raw: dict[str, Any]) -> Service:
    test = raw.get("healthcheck", {}).get("test", [""])
    return Service(
        name=name,
        image=raw["image"],
        target=raw.get("build", {}).get("target", ""),
        entrypoint=_filled(raw["entrypoint"]) if "entrypoint" in raw else None,
        command=_filled(raw.get("command", [])),
        environment=raw.get("environment", {}),
        user=raw.get("user", ""),
        cap_add=raw.get("cap_add", []),
        secrets=raw.get("secrets", []),
        volumes=dict(_volume(volume) for volume in raw.get("volumes", [])),
        depends_on={other: how["condition"] for other, how in raw.get("depends_on", {}).items()},
        healthcheck=["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:],
        hosts=[
            name,
            *(f"{name}-{number}" for number in range(2, 1 + raw.get("deploy", {}).get("replicas", 1))),
        ],
    )


def _volume(volume: str | dict[str, Any]) -> tuple[str, str]:
    if isinstance(volume, dict):
        return volume["source"], volume["target"]
    source, _, target = volume.partition(":")
    return source, target


def _filled(words: list[str]) -> list[str]:
    """``${NAME:-default}`` and ``$$`` as compose replaces them."""
    return [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word).replace("$$", "$") for word in words]
