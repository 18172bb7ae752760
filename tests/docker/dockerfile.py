"""Read the Dockerfile: stages and their instructions, in order."""

import re
from dataclasses import dataclass, field

from tests.commands import ROOT

DOCKER = ROOT / "docker"


@dataclass(frozen=True)
class Stage:
    """One build stage."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """Return all stages of docker/Dockerfile by name."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        instruction, _, value = line.partition(" ")
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            found[name] = stage = Stage(name, base)
        else:
            stage.steps.append((instruction, value.strip()))
    return found


def lineage(name: str) -> list[Stage]:
    """Return a stage preceded by those it is built on."""
    known = stages()
    found: list[Stage] = []
    while name in known:
        found.insert(0, known[name])
        name = known[name].base
    return found
