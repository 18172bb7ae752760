"""Failures of storage, machines and executors are one line; faults of a program keep their stack trace."""

import re

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PythonException
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import SparkSession

from core.errors import GristmillError, UnavailableError
from pipeline.spark.session.failures import _WORKER_ENDED, AGAIN, REMEDY, _cause, spark_failures

TRACEBACK = (
    "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
    '  File "worker.py", line 1, in main\n    process()\n'
)


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        ([("SparkException", "Job aborted", False), ("IOException", "No space left\nmore", True)],
         f"IOException: No space left; {REMEDY}"),
        ([("PythonException", f"{TRACEBACK}core.errors.UnavailableError: s3://a/b: 503; try again\n", False)],
         f"s3://a/b: 503; try again, and {AGAIN}"),
        ([("PythonException", f"{TRACEBACK}OSError: [Errno 28] No space left on device\n", False)],
         f"OSError: [Errno 28] No space left on device; {REMEDY}"),
        ([("PythonException", f"{TRACEBACK}builtins.MemoryError\n", False)],
         f"builtins.MemoryError: no message; {REMEDY}"),
        ([("PythonException", f"{TRACEBACK}KeyError: 'a'\n", False)], None),
        ([("SparkException", "Lost task 0.3: ExecutorLostFailure (executor 1 exited)\nDriver", False)],
         f"Lost task 0.3: ExecutorLostFailure (executor 1 exited); {REMEDY}"),
        ([("SparkException", "Lost: java.io.EOFException\n\tat java.io.DataInputStream.readInt\n"
           "\tat org.apache.spark.api.python.PythonWorkerFactory.create", False), ("EOFException", "", True)],
         f"{_WORKER_ENDED}, perhaps for lack of memory; raise spark.executor.memoryOverhead and {AGAIN}"),
        ([("SparkException", "Lost task 1.0: EOFException occurred while reading the port number from "
           "pyspark.daemon's stdout", False)],
         f"{_WORKER_ENDED}, perhaps for lack of memory; raise spark.executor.memoryOverhead and {AGAIN}"),
        ([("SparkException", "Lost: \nError from python worker:\n  python3: No module named pyspark\n"
           "PYTHONPATH was:\n  /x\nEOFException occurred while reading the port number from "
           "pyspark.daemon's stdout", False)],
         f"a Python worker did not start: python3: No module named pyspark; {REMEDY}"),
        ([("SparkException", "Lost: java.io.IOException: Cannot run program\n"
           "\tat org.apache.spark.api.python.PythonWorkerFactory.create", False),
          ("IOException", "Cannot run program", True)], f"IOException: Cannot run program; {REMEDY}"),
        ([("PythonException", f"{TRACEBACK}ValueError: bad\nOSError: it said\n", False)], None),
        ([("PythonException", f"{TRACEBACK}a.<locals>.E\n", False)], None),
        ([("NotSerializableException", "a.B", True)], None),
        ([("NullPointerException", "", False)], None),
    ],
)  # fmt: skip
def test_cause_is_one_line(chain: list[tuple[str, str, bool]], found: str | None) -> None:
    assert _cause(chain) == found


@pytest.mark.spark
def test_error_of_a_task_is_reported_without_its_traceback(spark: SparkSession) -> None:
    def fail(batches):
        raise UnavailableError("s3://bucket/a: does not answer; check the network")

    with (
        pytest.raises(
            GristmillError,
            match=f"^s3://bucket/a: .*; check the network, and {AGAIN}$",
        ),
        spark_failures(),
    ):
        spark.range(1).mapInArrow(fail, "id long").count()


@pytest.mark.spark
def test_error_of_spark_s_storage_is_reported_without_its_stack_trace(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("table") / "t"
    spark.range(10).write.parquet(str(folder))
    table = spark.read.parquet(str(folder))
    for file in folder.glob("part-*"):
        file.write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(GristmillError) as caught, spark_failures():
        table.collect()
    assert re.fullmatch(r"[^\n]+; remove the cause and run the command again[^\n]+", str(caught.value))


@pytest.mark.spark
def test_fault_of_a_program_keeps_its_traceback(spark: SparkSession) -> None:
    def fail(batches):
        raise KeyError("a")

    with (
        pytest.raises((PythonException, Py4JJavaError, CapturedException), match="KeyError"),
        spark_failures(),
    ):
        spark.range(1).mapInArrow(fail, "id long").count()
