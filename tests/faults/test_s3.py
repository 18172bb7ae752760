"""Jobs on an S3 server with errors, broken connections, slow responses and expired credentials."""

import os

import pytest

from core import storage
from tests.faults.cells import cells
from tests.faults.drivers import driver
from tests.faults.jobs import Jobs
from tests.faults.proxy import proxy
from tests.faults.rules import (
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    NO_SUCH_KEY,
    SLOW_DOWN,
    CutRequest,
    CutResponse,
    Delay,
    Rule,
    Throttle,
)

pytestmark = [pytest.mark.spark, pytest.mark.server]

STAGES = ("clean", "pack", "train")
DATA = r"\.(parquet|arrow|distcp|gz|warc|bz2|txt|jsonl)\b"
"""Paths of data files, as a regular expression."""
FAULTS = {
    "503 on a tenth of the requests": lambda: [Rule(SLOW_DOWN, share=0.1)],
    "500 on a tenth of the requests": lambda: [Rule(INTERNAL_ERROR, share=0.1, seed=1)],
    "connections dropped before the request, one in ten": lambda: [Rule(CutRequest(), share=0.1, seed=2)],
    "responses lost, one in ten": lambda: [Rule(CutResponse(), share=0.1, seed=3)],
    "bodies cut, one in three": lambda: [
        Rule(CutResponse(200), "GET", DATA, share=0.3, seed=4),
        Rule(CutRequest(200), "PUT", DATA, share=0.3, seed=5),
    ],
    "first bytes after a second, one in ten": lambda: [Rule(Delay(1.0), share=0.1, seed=6)],
    "bodies at 20 kB/s": lambda: [Rule(Throttle(20_000), "GET", DATA)],
    "missing for 2 s after each PUT": lambda: [Rule(NO_SUCH_KEY, "GET|HEAD", seconds_after_put=2.0)],
    "503 on everything after the 20th request": lambda: [Rule(SLOW_DOWN, first=20)],
    "credentials that expire after 40 requests": lambda: [Rule(EXPIRED_TOKEN, first=40)],
    "all at once, one request in twelve": lambda: [
        Rule(SLOW_DOWN, share=0.03, seed=7),
        Rule(INTERNAL_ERROR, share=0.02, seed=8),
        Rule(CutRequest(), share=0.01, seed=9),
        Rule(CutResponse(), share=0.01, seed=10),
        Rule(CutResponse(200), "GET", DATA, share=0.05, seed=11),
        Rule(Delay(0.5), share=0.01, seed=12),
    ],
}
"""Rules by the name of the fault."""
SHORT = {
    ("503 on a tenth of the requests", "train"),
    ("all at once, one request in twelve", "pack"),
}
"""Cells that are run with all tests."""


@pytest.fixture(scope="module")
def faulty(s3, tmp_path_factory):
    """The proxy and the jobs, whose inputs and references are on the server."""
    folder = tmp_path_factory.mktemp("faults-s3")
    with proxy(os.environ["AWS_ENDPOINT_URL"]) as running:
        address = {"AWS_ENDPOINT_URL": running.url}
        with driver(folder, "spark", address) as spark, driver(folder, "train", address) as train:
            yield running, Jobs(storage.join(s3, "faults"), folder, spark, train)


@pytest.mark.parametrize(("fault", "stage"), cells(FAULTS, STAGES, short=SHORT))
def test_disturbed_run_publishes_the_same_or_fails_clearly(faulty, cell, fault, stage):
    record = cell(fault, stage, "S3")
    running, jobs = faulty
    running.disturb()
    work = jobs.prepare(stage)
    running.disturb(*FAULTS[fault]())
    outcome = jobs.run(work)
    struck = len(running.disturbed)
    running.disturb()
    assert struck, "no request was disturbed"
    record(jobs.judge(work, outcome))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_missing_bucket_is_reported(faulty, cell, stage):
    record = cell("a bucket that is not there", stage, "S3")
    running, jobs = faulty
    running.disturb()
    jobs.finish(stage)
    bucket = f"gristmill-missing-{stage}"
    work = jobs.work(stage, f"s3://{bucket}/out")
    outcome = jobs.run(work)
    assert outcome.code != 0
    storage.filesystem("s3://")[0].mkdir(bucket)
    jobs.copy_required(stage, work.out)
    record(jobs.judge(work, outcome))


@pytest.mark.parametrize("stage", cells(["clean", "pack"]))
def test_two_drivers_with_one_output(faulty, cell, stage, tmp_path):
    record = cell("two drivers with one output", stage, "S3")
    running, jobs = faulty
    running.disturb()
    work = jobs.prepare(stage)
    with driver(tmp_path, "spark", {"AWS_ENDPOINT_URL": running.url}) as other:
        record(jobs.race(work, other))
