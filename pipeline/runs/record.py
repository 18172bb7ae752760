"""Contents of ``run.json``: attempts, each with its steps, and what each step used."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core import storage
from core.errors import GristmillError, ManifestError, MissingFileError

NAME = "run.json"
SCHEMA_VERSION = 1
Outcome = Literal["running", "finished", "failed", "interrupted"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Part):
    """Resources that the Spark stages of a step used. Times are in seconds, sizes in bytes.

    Spark counts what passes through it. Raw crawl files are read, and token shards written, by Python, which
    these numbers do not include.
    """

    jobs: int = 0
    stages: int = 0
    retried_stages: int = 0
    """Stage attempts beyond the first, as after a lost executor."""
    tasks: int = 0
    """Successful task attempts."""
    failed_tasks: int = 0
    killed_tasks: int = 0
    """Task attempts that were stopped, such as the slower of two speculative ones."""
    speculative_tasks: int = 0
    executor_seconds: float = 0
    """Run time of all tasks together."""
    cpu_seconds: float = 0
    """CPU time of the executors' JVMs. Python workers are not included."""
    gc_seconds: float = 0
    records_read: int = 0
    records_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    shuffle_bytes_read: int = 0
    shuffle_bytes_written: int = 0
    memory_spilled: int = 0
    disk_spilled: int = 0
    peak_task_memory: int = 0
    """Largest execution memory (sorts, aggregations, joins) of one task."""
    peak_jvm_heap: int = 0
    """Largest heap of one executor. This and the following sizes are sampled, by default every 10 seconds,
    so that they are 0 for a short step."""
    peak_jvm_resident: int = 0
    """Largest resident size of one executor's JVM."""
    peak_python_resident: int = 0
    """Largest resident size of one executor's Python processes together."""
    missing_stages: int = 0
    """Stages whose numbers Spark had dropped before they were read (``spark.ui.retainedStages``)."""

    def __add__(self, other: "Usage") -> "Usage":
        """Add counts, and take the larger of each peak."""
        return Usage(
            **{
                name: (max if name.startswith("peak_") else _add)(getattr(self, name), getattr(other, name))
                for name in Usage.model_fields
            }
        )


def _add(one: float, other: float) -> float:
    return round(one + other, 3)


class Step(_Part):
    """One step of an attempt."""

    name: str
    """Short name, equal in all runs of a stage, by which runs are compared."""
    title: str
    """Name in progress lines, in Spark's UI and in its event log."""
    started: str
    """Time in UTC, ISO 8601."""
    seconds: float
    """Wall time."""
    outcome: Outcome
    usage: Usage


class Cluster(_Part):
    """The cluster that an attempt ran on, as of its last step."""

    master: str
    application: str
    """Spark's application id, which names the event log."""
    executors: int
    cores: int
    """Task slots of all executors together."""


class Attempt(_Part):
    """One run of the job, until it finished or was stopped."""

    started: str
    ended: str = ""
    """Empty while it runs, and if it was killed."""
    outcome: Outcome = "running"
    versions: Mapping[str, str]
    """Gristmill, Python, Spark, Java and pyarrow."""
    cluster: Cluster
    input_bytes: int = 0
    """Size of the raw input files; 0 if the stage reads the output of another."""
    steps: tuple[Step, ...] = ()


class RunRecord(_Part):
    """All attempts at one output: the steps that a resumed run skips are in an earlier attempt."""

    schema_version: int = SCHEMA_VERSION
    stage: str
    fingerprint: str
    attempts: tuple[Attempt, ...] = ()

    def last_steps(self) -> dict[str, Step]:
        """Return the steps that made the output by name, in order: the last finished one of each name."""
        finished = [step for attempt in self.attempts for step in attempt.steps if step.outcome == "finished"]
        return {step.name: step for step in finished}


def path(folder: str) -> str:
    """Return the path of the record in a stage's folder."""
    return storage.join(folder, NAME)


def read(folder: str) -> RunRecord:
    """Return the record in ``folder``. Raises :class:`ManifestError` if it is missing or invalid."""
    try:
        found = RunRecord.model_validate_json(storage.read_bytes(path(folder)))
    except MissingFileError:
        raise ManifestError(
            f"{folder}: has no {NAME}; name the folder of a stage that Spark ran (OUT, OUT/tokenizer or "
            "OUT/shards), or run the stage with this version"
        ) from None
    except ValidationError:
        raise ManifestError(f"{path(folder)}: not a run record; remove it, and run the stage again") from None
    if found.schema_version != SCHEMA_VERSION:
        raise ManifestError(
            f"{path(folder)}: schema version {found.schema_version}, but this program reads "
            f"{SCHEMA_VERSION}; use the version of Gristmill that wrote it"
        )
    return found


def resume(folder: str, stage: str, fingerprint: str) -> RunRecord:
    """Return the record of earlier attempts at the same output; an empty one if none can be read."""
    try:
        found = read(folder)
    except GristmillError:
        found = None
    if found and (found.stage, found.fingerprint) == (stage, fingerprint):
        return found
    return RunRecord(stage=stage, fingerprint=fingerprint)


def write(folder: str, record: RunRecord) -> None:
    """Write the record atomically."""
    storage.write_atomic(path(folder), record.model_dump_json(indent=2).encode() + b"\n")
