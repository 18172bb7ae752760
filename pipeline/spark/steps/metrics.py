"""Numbers of Spark's status store: what its UI shows, also where the UI is switched off.

The store is read through the JVM, with the JSON of Spark's REST API. It drops the oldest stages beyond
``spark.ui.retainedStages``, so that :class:`Collector` reads often.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from py4j.protocol import Py4JJavaError, Py4JNetworkError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkContext

from core.messages import first_line
from pipeline.runs import Cluster, Usage

EVENTS_TIMEOUT_MS = 10_000
"""Time that Spark may take to process the events of finished tasks."""
ENDED = ("SUCCEEDED", "FAILED", "UNKNOWN")
"""States of jobs that have ended."""
OUTPUT_ROWS, FROM_PYTHON = "number of output rows", "data returned from Python workers"
"""Metrics of operators of Spark SQL: of most of them, and of those that run Python code."""
RECENT = 4
"""SQL queries that are looked at for the one that is running."""
MAX_SUMMARIZED = 20_000
"""Tasks of a stage up to which they are summarized: Spark sorts all of them, in the driver."""

_warned: set[str] = set()


@contextmanager
def optional_numbers() -> Iterator[None]:
    """Leave out numbers that the block cannot read: they are no reason to fail.

    An exception, such as by a version of Spark with another status store, is a warning, once in a process.
    Nothing is said if the JVM has ended, which the job reports.
    """
    try:
        yield
    except (Py4JNetworkError, OSError):
        return
    except Exception as error:
        if not _warned:
            _warned.add("numbers")
            print(f"warning: numbers of Spark are missing: {first_line(error)}", file=sys.stderr)


class _Java(NamedTuple):
    """Objects of the JVM that are needed to read the store."""

    spark: Any
    store: Any
    mapper: Any
    no_status: Any
    no_quantiles: Any
    maximum: Any


class StatusStore:
    """Read access to the status store of a Spark context."""

    def __init__(self, context: SparkContext) -> None:
        self._context = context
        self._sql: Any = None

    @cached_property
    def _java(self) -> _Java:
        jvm: Any = self._context._jvm
        gateway: Any = self._context._gateway
        spark: Any = self._context._jsc.sc()
        maximum = gateway.new_array(jvm.double, 1)
        maximum[0] = 1.0
        return _Java(
            spark=spark,
            store=spark.statusStore(),
            mapper=jvm.org.apache.spark.status.api.v1.JacksonMessageWriter().mapper(),
            no_status=jvm.java.util.ArrayList(),
            no_quantiles=gateway.new_array(jvm.double, 0),
            maximum=maximum,
        )

    def wait(self) -> None:
        """Wait until the store has what happened so far; a busy driver may not get there in time."""
        try:
            self._java.spark.listenerBus().waitUntilEmpty(EVENTS_TIMEOUT_MS)
        except Py4JJavaError:  # a timeout: the numbers are those of now
            return

    def job_ids(self, group: str) -> list[int]:
        """Return the ids of the jobs of a group, in ascending order."""
        return sorted(self._java.spark.statusTracker().getJobIdsForGroup(group))

    def job(self, job_id: int) -> dict[str, Any] | None:
        """Return a job; None if the store has dropped it."""
        try:
            found: dict[str, Any] = self._json(self._java.store.job(job_id))
        except Py4JJavaError:  # NoSuchElementException
            return None
        return found

    def stage_attempts(self, stage_id: int) -> list[dict[str, Any]]:
        """Return all attempts of a stage; an empty list if the store has dropped it."""
        try:
            java = self._java
            found: list[dict[str, Any]] = self._json(
                java.store.stageData(stage_id, False, java.no_status, False, java.no_quantiles)
            )
        except Py4JJavaError:
            return []
        return found

    def active_stages(self) -> list[dict[str, Any]]:
        """Return the stages that are running."""
        found: list[dict[str, Any]] = self._json(self._java.store.activeStages())
        return found

    def peak_task_memory(self, stage_id: int, attempt: int) -> int:
        """Return the largest execution memory of one task, in bytes."""
        summary = self._json(self._java.store.taskSummary(stage_id, attempt, self._java.maximum))
        return int(summary["peakExecutionMemory"][0]) if summary else 0

    def speculative_tasks(self, stage_id: int, attempt: int) -> int:
        """Return the number of speculative task attempts."""
        summary = self._json(self._java.store.speculationSummary(stage_id, attempt))
        return int(summary["numTasks"]) if summary else 0

    def cluster(self) -> Cluster:
        """Return the executors that are there now. In local mode, the driver is the only one."""
        master = str(self._context.master)
        is_local = master == "local" or master.startswith("local[")
        found = self._json(self._java.store.executorList(True))
        executors = [each for each in found if each["id"] != "driver" or is_local]
        return Cluster(
            master=master,
            application=str(self._context.applicationId),
            executors=len(executors),
            cores=sum(each["totalCores"] for each in executors),
        )

    def running_query(self, session: Any) -> tuple[int, float] | None:
        """Return the rows that the running SQL query has produced, and its age in seconds; None if none runs.

        ``session``: the JVM's Spark session. Running tasks report every 10 seconds by default.
        """
        self._sql = self._sql or session.sharedState().statusStore()
        count = self._sql.executionsCount()
        recent = self._sql.executionsList(max(0, count - RECENT), RECENT)
        running = [each for each in _elements(recent) if each.completionTime().isEmpty()]
        if not running:
            return None
        query = running[-1].executionId()
        rows = output_rows(
            self._json(self._sql.planGraph(query).allNodes()), self._json(self._sql.executionMetrics(query))
        )
        return rows, time.time() - running[-1].submissionTime() / 1000

    def _json(self, value: Any) -> Any:
        return json.loads(self._java.mapper.writeValueAsString(value))


def output_rows(operators: Sequence[dict[str, Any]], values: Mapping[str, str]) -> int:
    """Return the rows that the largest operator of a query has produced.

    In a query with Python code, only operators that run it count: they process the records.
    ``operators``: the query's plan, in the JSON of Spark's UI. ``values``: its metrics by accumulator.
    """
    metrics = [
        {metric["name"]: str(metric["accumulatorId"]) for metric in operator["metrics"]}
        for operator in operators
    ]
    in_python = [each for each in metrics if FROM_PYTHON in each]
    counted = [values.get(each.get(OUTPUT_ROWS, ""), "0") for each in in_python or metrics]
    return max((int(value.replace(",", "")) for value in counted), default=0)


def _elements(sequence: Any) -> Iterator[Any]:
    """Yield the elements of a Scala sequence."""
    iterator = sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()


class Collector:
    """Usage of the jobs of one group, read part by part before the store drops it."""

    def __init__(self, store: StatusStore, group: str) -> None:
        self.usage = Usage()
        self._store, self._group = store, group
        self._jobs: set[int] = set()
        self._stages: set[int] = set()

    def collect(self) -> None:
        """Add the jobs that have ended since the last call."""
        with optional_numbers():
            self._collect()

    def finish(self) -> None:
        """Wait for the last events and add the rest."""
        with optional_numbers():
            self._store.wait()
            self._collect()
            self._count_dropped()

    def _collect(self) -> None:
        for job_id in self._store.job_ids(self._group):
            if job_id in self._jobs:
                continue
            job = self._store.job(job_id)
            if job and job["status"] not in ENDED:
                continue
            self._jobs.add(job_id)
            self.usage += Usage(jobs=1, missing_stages=int(job is None))
            for stage_id in job["stageIds"] if job else ():
                if stage_id not in self._stages:
                    self._stages.add(stage_id)
                    self.usage += self._stage(stage_id)

    def _count_dropped(self) -> None:
        """Count a stage for each job that the store no longer has, between those of this group.

        A group's jobs have successive numbers, except for jobs that other threads start, which the store has.
        """
        if self._jobs:
            between = set(range(min(self._jobs), max(self._jobs))) - self._jobs
            dropped = sum(self._store.job(job_id) is None for job_id in between)
            self.usage += Usage(jobs=dropped, missing_stages=dropped)

    def _stage(self, stage_id: int) -> Usage:
        attempts = self._store.stage_attempts(stage_id)
        if not attempts:
            return Usage(missing_stages=1)
        ran = [attempt for attempt in attempts if attempt["status"] not in ("SKIPPED", "PENDING")]
        if not ran:
            return Usage()
        total = Usage(stages=1, retried_stages=len(ran) - 1)
        for attempt in ran:
            number, peak = attempt["attemptId"], 0
            if attempt["numTasks"] <= MAX_SUMMARIZED:
                peak = self._store.peak_task_memory(stage_id, number)
            total += stage_usage(attempt, peak, self._store.speculative_tasks(stage_id, number))
        return total


def stage_usage(stage: dict[str, Any], peak_task_memory: int, speculative_tasks: int) -> Usage:
    """Convert a stage attempt of Spark's REST API."""
    peaks = stage.get("peakExecutorMetrics") or {}
    return Usage(
        tasks=stage["numCompleteTasks"],
        failed_tasks=stage["numFailedTasks"],
        killed_tasks=stage["numKilledTasks"],
        speculative_tasks=speculative_tasks,
        executor_seconds=stage["executorRunTime"] / 1e3,
        cpu_seconds=round(stage["executorCpuTime"] / 1e9, 3),
        gc_seconds=stage["jvmGcTime"] / 1e3,
        records_read=stage["inputRecords"],
        records_written=stage["outputRecords"],
        bytes_read=stage["inputBytes"],
        bytes_written=stage["outputBytes"],
        shuffle_bytes_read=stage["shuffleReadBytes"],
        shuffle_bytes_written=stage["shuffleWriteBytes"],
        memory_spilled=stage["memoryBytesSpilled"],
        disk_spilled=stage["diskBytesSpilled"],
        peak_task_memory=peak_task_memory,
        peak_jvm_heap=peaks.get("JVMHeapMemory", 0),
        peak_jvm_resident=peaks.get("ProcessTreeJVMRSSMemory", 0),
        peak_python_resident=peaks.get("ProcessTreePythonRSSMemory", 0),
    )
