"""Programs as users start them: ``spark-submit`` and ``torchrun`` in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pyspark

from pipeline.spark.session.java import java_home

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared/data"
"""Real data that some tests use where it is present; see CONTRIBUTING."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java options for processes that end in a minute: compile quickly, not well. Halves a small job's CPU."""


def spark_submit(script: Path | str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a job to its end, on two local cores unless ``options`` name a ``--master``; its standard output.

    Standard error is shown if the job fails.
    """
    home = Path(pyspark.__file__).parent
    usual = ["--driver-java-options", SHORT_LIVED, "--conf", f"spark.executor.extraJavaOptions={SHORT_LIVED}"]
    if "--master" not in options:
        usual += ["--master", "local[2]"]
    command = [str(home / "bin" / "spark-submit"), *usual, *options, str(script), *arguments]
    environment = {
        "JAVA_HOME": java_home(),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(ROOT / "pipeline" / "spark" / "conf"),
        "SPARK_HOME": str(home),
    }
    return run(command, environment)


def torchrun(processes: int, module: str, *arguments: str) -> str:
    """Run a module under ``torchrun`` to its end; its standard output."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return run([*command, "-m", module, *arguments], {"OMP_NUM_THREADS": "1"})


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command in the repository's folder; its output is the error's text if it fails."""
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        command, env=os.environ | paths | environment, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done.stdout
