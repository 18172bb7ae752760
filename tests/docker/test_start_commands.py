"""The images' start commands, run in a folder that has only what the images have.

The packages are installed from a wheel, so that missing packages and data files are noticed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.docker.compose import services
from tests.docker.dockerfile import stages

SHIPPED = ("core", "pipeline", "jobs", "model", "train", "evals", "serve")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed packages."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site-packages")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy2(ROOT / name, source)
    for package in SHIPPED:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    install = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run(
        [*install, "--python", sys.executable, str(source)], check=True, env=environment(target), timeout=300
    )
    return target


@pytest.fixture
def clean_folder(tmp_path: Path) -> Path:
    """The images' working directory: configs and jobs."""
    for name in ("configs", "jobs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def environment(installed: Path) -> Mapping[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


def image_commands() -> dict[str, list[str]]:
    """Each image's CMD."""
    found = {name: stage.values("CMD") for name, stage in stages().items()}
    return {name: json.loads(values[-1]) for name, values in found.items() if values}


def job_commands() -> dict[str, list[str]]:
    """Commands of the compose file that run our programs."""
    return {
        name: service.command for name, service in services().items() if "--config" in str(service.command)
    }


def run(command: list[str], folder: Path, installed: Path) -> str:
    program = shutil.which(command[0], path=environment(installed)["PATH"])
    assert program is not None
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=dict(environment(installed)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_package_and_data_file_is_installed(installed: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    missing = [path for path in tracked.stdout.splitlines() if not (installed / path).exists()]
    assert missing == [path for path in missing if not (ROOT / path).exists()]


@pytest.mark.parametrize("image", image_commands())
def test_default_commands_start(image: str, clean_folder: Path, installed: Path) -> None:
    command = [word for word in image_commands()[image] if word != "--help"]
    assert "usage:" in run([*command, "--help"], clean_folder, installed)


@pytest.mark.parametrize("service", job_commands())
def test_services_accept_their_options(service: str, clean_folder: Path, installed: Path) -> None:
    command = [word for word in job_commands()[service] if not word.startswith(("--master", "--conf=spark"))]
    if command[0] == "spark-submit":
        command[0] = "python"  # the same program without a JVM
    output = run([*command, "--dry-run"], clean_folder, installed)
    assert '"path": "s3://gristmill/run"' in output
