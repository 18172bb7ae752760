"""Run programs as users do, with ``spark-submit`` and ``torchrun`` in child processes."""

import os
import subprocess
import sys
from pathlib import Path

import pyspark

from pipeline.spark.session.java import java_home

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared/data"
"""Real data for some tests, which are skipped without it."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java options for short-lived processes: fast, not optimizing, compilation. Halves a small job's CPU."""


def spark_submit(script: Path | str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a job and return its standard output; its standard error is shown if it fails.

    The job runs on two local cores unless ``options`` contain ``--master``.
    """
    return run(*spark_submit_command(script, *arguments, options=options))


def spark_submit_command(
    script: Path | str, *arguments: str, options: tuple[str, ...] = ()
) -> tuple[list[str], dict[str, str]]:
    """Return the command that :func:`spark_submit` runs, and the variables that it sets."""
    home = Path(pyspark.__file__).parent
    executor_options = f"spark.executor.extraJavaOptions={SHORT_LIVED}"
    defaults = ["--driver-java-options", SHORT_LIVED, "--conf", executor_options]
    if "--master" not in options:
        defaults += ["--master", "local[2]"]
    command = [str(home / "bin" / "spark-submit"), *defaults, *options, str(script), *arguments]
    environment = {
        "JAVA_HOME": java_home(),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(ROOT / "pipeline" / "spark" / "session" / "conf"),
        "SPARK_HOME": str(home),
    }
    return command, environment


def torchrun(processes: int, module: str, *arguments: str) -> str:
    """Run a module under ``torchrun`` and return its standard output."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return run([*command, "-m", module, *arguments], {"OMP_NUM_THREADS": "1"})


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command in the repository's folder; raise :class:`AssertionError` with its output if it fails."""
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        command, env=os.environ | paths | environment, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done.stdout
