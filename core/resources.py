"""Read data files that are part of our packages: word lists, tables, presets."""

import tomllib
from importlib import resources
from typing import Any


def read_text(package: str, path: str) -> str:
    """Return the content of the UTF-8 file at ``path`` (relative, with ``/``) inside ``package``."""
    return resources.files(package).joinpath(*path.split("/")).read_text("utf-8")


def read_toml(package: str, path: str) -> dict[str, Any]:
    """Return the parsed content of the TOML file at ``path`` inside ``package``."""
    return tomllib.loads(read_text(package, path))
