"""The archive of ``make dist``, and a Python that lacks everything in it."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.commands import run


class Archive(NamedTuple):
    """The archive, and an interpreter without its packages."""

    file: Path
    """``gristmill.tar.gz``."""
    python: str
    """A Python without packages."""

    def options(self, file: str = "") -> list[str]:
        """Return options of ``spark-submit`` for executors, which have only this Python.

        ``file``: the archive's address, by default on this machine.
        """
        settings = {"executorEnv.PYTHONPATH": "gristmill", "pyspark.python": self.python}
        options = ["--archives", f"{file or self.file}#gristmill"]
        for key, value in settings.items():
            options += ["--conf", f"spark.{key}={value}"]
        return options


def build(folder: Path) -> Archive:
    """Run ``make dist``, with its output in ``folder``."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")], {})
    python = str(folder / "bare" / "bin" / "python")
    with pytest.raises(AssertionError, match="No module named 'pydantic'"):
        run([python, "-c", "import pydantic"], {})
    run(["make", "dist", f"DIST={folder}"], {})
    return Archive(folder / "gristmill.tar.gz", python)
