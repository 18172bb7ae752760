"""The chain at growing sizes of input: records per second and memory over time, bytes and seconds by step.

``python benchmarks/scale.py CRAWL --gigabytes 1 3 10 [--master local standalone]`` runs ``jobs/clean.py``
(with deduplication), ``jobs/train_tokenizer.py`` and ``jobs/pack.py`` by ``spark-submit``, as a user would,
over the first files of CRAWL, which ``scale_crawl.py`` has written: one run for each size and master.
``standalone`` is a master and two workers of one core on loopback, with the driver in a JVM of its own.

Every few seconds a row is added to ``SERIES/RUN.csv``, also if the run is interrupted: step, rows that the
step has produced, tasks, resident memory by kind of process (``process_memory.py``), heap after garbage
collections, bytes of shuffles, of temporary files and of output. ``RUN.json`` has what ``run.json`` of each
stage says about its steps, the sizes of the tables, and the duplicates that were found compared with those
that the crawl is known to have.

Writes ``benchmarks/results/scale.md`` and ``scale.svg`` (``scale_report.py``) from all runs in SERIES.
"""

import argparse
import csv
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import process_memory, scale_report
from benchmarks.dedup_documents import REPOSITORY
from benchmarks.scale_crawl import compare
from core.errors import InputError, run
from pipeline import runs
from tests.servers.process import free_port
from tests.servers.standalone import spark_cluster

RESULTS = Path(__file__).parent / "results"
SERIES = RESULTS / "scale"
JOBS = ("clean", "train_tokenizer", "pack")
FOLDERS = {"clean": "", "train_tokenizer": "tokenizer", "pack": "shards"}
"""Where each job leaves its ``run.json``, in the output."""
TABLES = ("analysis/records", "analysis/copies", "documents", "ledger", "quarantine", "tokenizer", "shards")
SAMPLE_CHARACTERS = 20_000_000
"""Text that the tokenizer is trained on, the same for all sizes."""
_PROGRESS = re.compile(r"^(\d{4}-\d\d-\d\d [\d:]{8}) .*? ([\d,]+) rows?\b", re.MULTILINE)
COLUMNS = (
    *("seconds", "job", "step", "rows", "rows_seconds", "tasks", "tasks_done", "tasks_running"),
    *process_memory.KINDS,
    *("driver_heap", "executor_heap", "shuffle_written", "local_bytes", "output_bytes"),
)


class SparkApi:
    """Spark's REST API of one application, while it runs."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}/api/v1/applications"
        self._id = ""

    def read(self) -> dict[str, Any]:
        """Return step, tasks and bytes of shuffles; nothing while the application does not answer."""
        try:
            return self._read()
        except (OSError, http.client.HTTPException, json.JSONDecodeError, LookupError):
            return {}

    def _read(self) -> dict[str, Any]:
        self._id = self._id or self._get("")[0]["id"]
        stages = self._get(f"/{self._id}/stages?status=active")
        executors = self._get(f"/{self._id}/executors")
        found: dict[str, Any] = {
            "shuffle_written": sum(each["totalShuffleWrite"] for each in executors),
            "tasks": sum(stage["numTasks"] for stage in stages),
            "tasks_done": sum(stage["numCompletedIndices"] for stage in stages),
            "tasks_running": sum(stage["numActiveTasks"] for stage in stages),
        }
        if stages:
            found["step"] = stages[0]["name"]
        return found

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._root}{path}", timeout=20) as response:
            return json.load(response)


class ProgressLog:
    """Rows of the running step, from the progress lines that a job prints with the time."""

    def __init__(self, log: Path) -> None:
        self._log, self._read = log, 0

    def read(self) -> dict[str, float]:
        """Return the rows of the last line since the last call, and its time; nothing if there is none."""
        if not self._log.exists():
            return {}
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read += len(text)
        lines = _PROGRESS.findall(text.decode(errors="replace"))
        if not lines:
            return {}
        stamp, rows = lines[-1]
        seconds = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        return {"rows": int(rows.replace(",", "")), "rows_seconds": seconds}


class Recorder:
    """Adds rows to a CSV file in a thread, each flushed at once."""

    def __init__(self, file: Path, work: Path, output: Path, interval: float) -> None:
        self.job = ""
        self.api: SparkApi | None = None
        self.progress: ProgressLog | None = None
        self._file, self._work, self._output, self._interval = file, work, output, interval
        self._heaps = {
            "driver_heap": process_memory.HeapLog(work, "gc-driver-*.log"),
            "executor_heap": process_memory.HeapLog(work, "gc-executor-*.log"),
        }
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            self._record()
        except Exception as error:
            self._failure = error

    def _record(self) -> None:
        begun = time.monotonic()
        with self._file.open("w", newline="", encoding="utf-8") as stream:
            rows = csv.DictWriter(stream, COLUMNS)
            rows.writeheader()
            while not self._ended.wait(self._interval):
                row: dict[str, Any] = {"seconds": round(time.monotonic() - begun, 1), "job": self.job}
                api, progress = self.api, self.progress  # either may end meanwhile
                row |= api.read() if api else {}
                row |= progress.read() if progress else {}
                row |= process_memory.measure()
                row |= {name: log.least() for name, log in self._heaps.items()}
                row |= {"local_bytes": size(self._work / "local"), "output_bytes": size(self._output)}
                rows.writerow(row)
                stream.flush()


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 (many files)
            except OSError:
                continue
    return total


def run_chain(
    inputs: Sequence[Path], master: str, work: Path, file: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the jobs over the inputs, and return what they took. The series is in ``file``."""
    output = work / "out"
    settings = {
        "input.paths": json.dumps([str(path) for path in inputs]),
        "output.path": str(output),
        "output.progress_seconds": str(options.interval),
        "tokenizer.sample_characters": str(SAMPLE_CHARACTERS),
    }
    settings |= dict(pair.split("=", 1) for pair in options.set)
    arguments = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    seconds: dict[str, float] = {}
    stopped = "interrupted"
    with Recorder(file, work, output, options.interval) as recorder:
        try:
            for job in JOBS:
                recorder.job = job
                started = time.monotonic()
                _submit(job, master, arguments, work, recorder, options)
                seconds[job] = round(time.monotonic() - started, 1)
            stopped = ""
        finally:
            recorder.job = ""
            found = describe(inputs, master, seconds, output) | {"stopped": stopped}
            file.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    expected = json.loads((inputs[0].parent / "expected.json").read_text(encoding="utf-8"))
    found["duplicates"] = compare(output / "ledger", expected)
    file.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _submit(
    job: str,
    master: str,
    arguments: Sequence[str],
    work: Path,
    recorder: Recorder,
    options: argparse.Namespace,
) -> None:
    """Run a job with Spark's UI on loopback, which the recorder reads."""
    port = free_port()
    settings = {
        "spark.ui.enabled": "true",
        "spark.ui.port": str(port),
        "spark.executor.heartbeatInterval": "2s",  # how often running tasks report their rows
        "spark.executor.extraJavaOptions": f"-Xlog:gc:file={work}/gc-executor-{job}-%p.log",
    }
    command = [str(Path(sys.executable).with_name("spark-submit")), "--master", master]
    command += ["--driver-memory", options.driver_memory]
    command += ["--driver-java-options", f"-Xlog:gc:file={work}/gc-driver-{job}.log"]
    command += [word for pair in settings.items() for word in ("--conf", "=".join(pair))]
    command += [str(REPOSITORY / "jobs" / f"{job}.py"), *arguments]
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "PYTHONPATH": path,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(work / "local"),
        "PYSPARK_PYTHON": sys.executable,
    }
    log = work / f"{job}.log"
    recorder.api, recorder.progress = SparkApi(port), ProgressLog(log)
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=stream, stderr=stream)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait(60)
        raise
    finally:
        recorder.api = recorder.progress = None
    if code:
        last = log.read_text(errors="replace")[-3000:]
        raise InputError(f"{job}: ended with {code}; the end of {log}:\n{last}")


def describe(
    inputs: Sequence[Path], master: str, seconds: Mapping[str, float], output: Path
) -> dict[str, Any]:
    """Return what a run took: as far as it came."""
    steps: dict[str, Any] = {}
    for job in JOBS:
        if (output / FOLDERS[job] / runs.NAME).exists():
            record = runs.read(str(output / FOLDERS[job]))
            steps[job] = {name: step.model_dump() for name, step in record.last_steps().items()}
    manifest = output / "manifest.json"
    counts = json.loads(manifest.read_text(encoding="utf-8"))["counts"] if manifest.exists() else {}
    return {
        "master": master.partition(":")[0].partition("[")[0],
        "files": len(inputs),
        "input_bytes": sum(path.stat().st_size for path in inputs),
        "cores": os.cpu_count(),
        "seconds": dict(seconds),
        "steps": steps,
        "counts": counts,
        "manifest_bytes": manifest.stat().st_size if manifest.exists() else 0,
        "tables": {table: size(output / table) for table in TABLES},
    }


@contextmanager
def cluster(master: str, work: Path) -> Iterator[str]:
    """Yield the URL of the master; a standalone cluster runs during the block."""
    if master == "local":
        yield "local[2]"
        return
    # Its executors inherit this: their temporary files count, too.
    os.environ["SPARK_LOCAL_DIRS"] = str(work / "local")
    with spark_cluster(work) as url:
        yield url


def main(arguments: Sequence[str]) -> None:
    """Run the chain for every size and master, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("crawl", type=Path, nargs="?", help="omit it to write the report only")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0])
    parser.add_argument("--master", nargs="+", choices=("local", "standalone"), default=["local"])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--series", type=Path, default=SERIES)
    parser.add_argument("--output", type=Path, default=RESULTS / "scale.md")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two rows")
    parser.add_argument("--driver-memory", default="2g")
    parser.add_argument("--set", action="append", default=[], help="a setting of the jobs, a.b=c")
    options = parser.parse_args(arguments)
    options.series.mkdir(parents=True, exist_ok=True)
    files = sorted(options.crawl.glob("part-*.warc.gz")) if options.crawl else []
    if options.crawl and not files:
        raise InputError(f"{options.crawl}: has no part-*.warc.gz; write them with scale_crawl.py")
    for gigabytes in options.gigabytes if files else ():
        chosen = _first(files, gigabytes)
        for master in options.master:
            work = Path(tempfile.mkdtemp(prefix="scale-", dir=options.work))
            (work / "local").mkdir()
            file = options.series / f"{master}-{gigabytes:g}.csv"
            try:
                with cluster(master, work) as url:
                    found = run_chain(chosen, url, work, file, options)
                print(f"{file.stem}: {found['seconds']}, {found['duplicates']}", flush=True)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    scale_report.write(options.series, options.output)
    print(options.output.read_text(encoding="utf-8"))


def _first(files: Sequence[Path], gigabytes: float) -> list[Path]:
    """Return the first files of about this size together."""
    chosen: list[Path] = []
    total = 0
    for file in files:
        if chosen and total + file.stat().st_size / 2 > gigabytes * 1e9:
            break
        chosen.append(file)
        total += file.stat().st_size
    return chosen


if __name__ == "__main__":
    run(main)
