"""A job that raises an error of ours while a stage runs and its progress is on the screen."""

import time
from collections.abc import Sequence
from contextlib import suppress

from pyspark import RDD, InheritableThread

from core.config import from_command_line
from core.errors import InputError
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job
from pipeline.spark.steps import step


def main(arguments: Sequence[str]) -> None:
    config = from_command_line("Fail.", arguments)
    assert config
    spark = session(config, "fail")
    tasks = spark.sparkContext.parallelize(range(80), 80)
    with step("fail", "fail: sleeping"):
        InheritableThread(target=_sleep, args=[tasks], daemon=True).start()
        while not spark.sparkContext.statusTracker().getActiveStageIds():
            time.sleep(0.05)
        time.sleep(5)  # progress is shown after two seconds, Spark's own bar after half a second
        raise InputError("input.paths: nothing there; check the path")


def _sleep(tasks: RDD[int]) -> None:
    with suppress(Exception):  # the end of the session cancels it
        tasks.foreach(lambda _: time.sleep(0.5))


if __name__ == "__main__":
    run_job(main)
