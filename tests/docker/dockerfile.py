"""Reading the Dockerfile: stages and their instructions, in order."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """All stages of docker/Dockerfile by name."""
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
    """A stage after those it is built on."""
    known, found = stages(), []
    while name in known:
        found.insert(0, known[name])
        name = known[name].base
    return found
