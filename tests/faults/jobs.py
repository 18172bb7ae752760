"""The jobs of the table: their inputs, a finished run to start from and to compare with, and the verdict."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core import storage
from tests import small_crawl
from tests.faults.drivers import Driver, Outcome, Running
from tests.faults.published import is_published, published
from tests.pipeline.spark.dedup import corpus
from tests.small_crawl import CONFIG

Job = Literal["clean", "dedup", "train_tokenizer", "pack", "train"]
REQUIRED: dict[str, Sequence[str]] = {
    "clean": (),
    "dedup": (),
    "train_tokenizer": ("manifest.json", "documents"),
    "pack": ("manifest.json", "documents", "tokenizer"),
    "train": ("tokenizer", "shards"),
}
"""What a job reads of its output folder: the output of earlier ones."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job with an output folder of its own."""

    job: Job
    out: str
    arguments: tuple[str, ...]


class Jobs:
    """The jobs on one kind of storage."""

    def __init__(self, root: str, folder: Path, spark: Driver, train: Driver) -> None:
        """Write a small crawl and a corpus with duplicates below ``root``, a configuration to ``folder``."""
        self._root, self.folder, self._numbers = root, folder, itertools.count()
        self.spark, self.train = spark, train
        folder.mkdir(parents=True, exist_ok=True)
        for file in small_crawl.build(folder / "crawl").folder.iterdir():
            storage.upload(str(file), storage.join(root, "raw", file.name))
        texts = corpus.write(corpus.documents(100), folder / "texts.jsonl")
        storage.upload(str(texts), storage.join(root, "texts", "texts.jsonl"))
        self._config = folder / "config.toml"
        self._config.write_text(
            f"input.paths = [{json.dumps(root + '/raw')}]\ninput.partitions = 2\n{CONFIG}"
        )
        self._finished: dict[str, Work] = {}
        self._content: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, list[str]] = {}
        """The lines that announce the steps of each job."""
        self.seconds: dict[str, float] = {}
        """Seconds that each undisturbed job took."""

    @property
    def inputs(self) -> list[storage.FileInfo]:
        """The files of the crawl."""
        return storage.list_files(storage.join(self._root, "raw"))

    def driver(self, job: Job) -> Driver:
        """Return the driver that runs a job."""
        return self.train if job == "train" else self.spark

    def start(self, work: Work, driver: Driver | None = None) -> Running:
        """Begin a job, in its driver or in another one."""
        return (driver or self.driver(work.job)).start(work.job, *work.arguments)

    def run(self, work: Work, driver: Driver | None = None) -> Outcome:
        """Run a job."""
        return self.start(work, driver).wait()

    def finish(self, job: Job) -> None:
        """Run a job undisturbed, after those that it needs, unless that was done before."""
        if job in self._finished:
            return
        order: list[Job] = ["clean", "train_tokenizer", "pack", "train"]
        for before in order[: order.index(job)] if job in order else []:
            self.finish(before)
        work = self.work(job, storage.join(self._root, "texts-done" if job == "dedup" else "done"))
        outcome = self.run(work)
        assert outcome.code == 0, f"undisturbed {job} ends with {outcome.code}:\n{outcome.err[-3000:]}"
        self._finished[job] = work
        self._content[job] = published(work.out, job)
        self.steps[job] = [line for line in outcome.out.splitlines() if line.endswith("…")]
        self.seconds[job] = outcome.seconds

    def prepare(self, job: Job, out: str = "") -> Work:
        """Return a job with a new output folder, which contains what earlier jobs have published.

        The job and those before it are first run undisturbed.
        """
        self.finish(job)
        work = self.work(job, out or storage.join(self._root, f"out-{next(self._numbers)}-{job}"))
        self.copy_required(job, work.out)
        return work

    def work(self, job: Job, out: str) -> Work:
        """Return a job with an output folder, which is left as it is."""
        arguments = ["--config", str(self._config), "--set", f"output.path={json.dumps(out)}"]
        if job == "dedup":
            arguments += ["--set", f"input.paths=[{json.dumps(self._root + '/texts')}]"]
        return Work(job, out, tuple(arguments))

    def copy_required(self, job: Job, out: str) -> None:
        """Copy what a job reads from the undisturbed run's folder to ``out``."""
        for entry in REQUIRED[job]:
            source = storage.join(self._finished["clean"].out, entry)
            for file in storage.list_files(source):
                target = out + file.path.removeprefix(self._finished["clean"].out)
                storage.write_atomic(target, storage.read_bytes(file.path))

    def differences(self, work: Work, seen_at: str = "") -> list[str]:
        """Compare an output with the undisturbed run's. ``seen_at``: its folder as this process sees it."""
        try:
            content = published(seen_at or work.out, work.job)
        except Exception as error:
            return [f"the output is not whole: {type(error).__name__}: {error}"]
        expected = self._content[work.job]
        return [f"{part} differ" for part in expected if content[part] != expected[part]]

    def judge(
        self,
        work: Work,
        first: Outcome,
        driver: Driver | None = None,
        *,
        killed: bool = False,
        seen_at: str = "",
    ) -> str:
        """Return the verdict about a disturbed run; raise :class:`AssertionError` if it is a wrong one.

        The fault is over. A run that failed is repeated. ``seen_at``: as in :meth:`differences`.
        """
        problems: list[str] = []
        details = ""
        if first.code == 0:
            verdict = "same output"
        else:
            verdict = "killed, rerun completes" if killed else "one line, rerun completes"
            problems += [] if killed else first.complaints()
            details = f"\n--- the first run:\n{first.out[-1000:]}\n{first.err[-3000:]}"
            if is_published(seen_at or work.out, work.job):
                problems += [f"published by a failed run: {each}" for each in self.differences(work, seen_at)]
            again = self.run(work, driver)
            if again.code != 0:
                problems.append(f"the rerun ends with {again.code}: {again.last_line[:300]}")
                details += f"\n--- the rerun:\n{again.out[-1000:]}\n{again.err[-3000:]}"
        problems += self.differences(work, seen_at)
        assert not problems, "; ".join(problems) + details
        return verdict

    def race(self, work: Work, other: Driver) -> str:
        """Run a job in two drivers at once and return the verdict.

        One completes it. The other ends with one line, or waits and then finds it done.
        """
        self.spark.kill()
        for each in (self.spark, other):  # neither is ahead by a session that it has already
            assert each.pid
        both = [self.start(work), self.start(work, other)]
        outcomes = [each.wait() for each in both]
        failed = [each for each in outcomes if each.code != 0]
        problems = ["both fail"] if len(failed) == 2 else []
        problems += [complaint for each in failed for complaint in each.complaints()]
        problems += self.differences(work)
        assert not problems, "; ".join(problems) + "".join(f"\n---\n{each.err[-3000:]}" for each in failed)
        return "second ends in one line" if failed else "both end with 0, same output"
