"""``python -m demo``: build the sample crawl, then run every stage from raw pages to a trained model.

Each stage is the command that a user would type. A finished stage does nothing; an interrupted one resumes.
"""

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core import config
from core.errors import run
from core.messages import duration
from demo import crawl, stages, summary
from pipeline.spark.session.java import java_home

CRAWL = Path("demo-output/crawl")


def main(arguments: Sequence[str]) -> None:
    """Run everything and print the closing table."""
    description = __doc__.partition("\n")[0]
    config.ArgumentParser(prog="python -m demo", description=description).parse_args(arguments)
    began = time.monotonic()
    folder = Path(config.load(stages.CONFIG).output.path)
    _wait_for_turn(CRAWL.parent)
    print(f"The sample crawl, in {CRAWL}", flush=True)
    crawl.build(str(CRAWL))
    environment = _environment()
    for number, stage in enumerate(stages.STAGES, 1):
        stages.run(stage, folder, environment, number)
    print(f"\nEverything took {duration(time.monotonic() - began)}\n{summary.table(folder)}")
    print(_next_steps(folder))


def _wait_for_turn(folder: Path) -> None:
    """Hold the folder's lock until this process ends; wait for an earlier run that is still working."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another demo is running in {folder}; waiting for it to end …", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)  # children hold it too, in case this process is killed


def _environment() -> dict[str, str]:
    """Return the stages' environment variables: this environment's programs, and a Java."""
    programs = Path(sys.executable).parent
    return os.environ | {
        "JAVA_HOME": java_home(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2))),
        "SPARK_CONF_DIR": os.environ.get("SPARK_CONF_DIR", "pipeline/spark/session/conf"),
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def _next_steps(folder: Path) -> str:
    """Describe the output and suggest commands to try."""
    return f"""
Output
  {CRAWL}  the raw pages, dump and books
  {folder}/documents    the clean documents (Parquet)
  {folder}/ledger       what happened to every record, and why (Parquet)
  {folder}/shards       token sequences (Arrow)
  {folder}/training     training.html, metrics.jsonl, TensorBoard events, checkpoints
  {folder}/report.html  the whole run on one page

Next steps
  . ./activate
  python -m train.sample --config {stages.CONFIG} --prompt 'La ville de'
  tensorboard --logdir {folder}/training
  spark-submit jobs/clean.py --config {stages.CONFIG} \\
      --set filters.preset=none --set output.path=demo-output/unfiltered"""


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        print("\nStopped. The same command resumes from here.", file=sys.stderr)
        sys.exit(130)
