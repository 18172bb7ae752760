"""Credentials stay out of everything that a job writes or shows."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import storage
from tests import small_crawl
from tests.commands import ROOT, spark_submit_command

SECRETS = {
    "AWS_ACCESS_KEY_ID": "PLANTEDKEYID00000001",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+000000000000000000000002",
    "AWS_SESSION_TOKEN": "planted-session-0003",
    "FSSPEC_HTTPS": json.dumps({"headers": {"Authorization": "Basic planted-header-0004"}}),
}
ON_COMMAND_LINE = {
    "spark.hadoop.fs.azure.account.key.corpus": "planted-account-0005",
    "spark.hadoop.fs.gs.auth.service.account.private.key": "planted-private-0006",
    "spark.executor.extraJavaOptions": "-Djavax.net.ssl.keyStorePassword=planted-store-0007",
}
"""Settings of ``--conf``, which are also in the command line that Java knows as ``sun.java.command``."""
PLANTED = [b"PLANTEDKEYID", b"planted/secret", b"planted%2Fsecret", b"planted-"]

pytestmark = pytest.mark.spark


def _run(script: Path, *overrides: str, conf: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = tuple(part for item in conf.items() for part in ("--conf", "=".join(item)))
    arguments = [part for override in overrides for part in ("--set", override)]
    command, environment = spark_submit_command(script, *arguments, options=options)
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    variables = os.environ | paths | environment | SECRETS
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=600)


def _found(content: bytes) -> list[bytes]:
    return [secret for secret in PLANTED if secret in content]


def _local_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def _remote_files(folder: str) -> Iterator[tuple[str, bytes]]:
    filesystem, inner = storage.filesystem(folder)
    return ((path, filesystem.cat_file(path)) for path in filesystem.find(inner))


@pytest.mark.server
def test_credentials_of_s3_are_in_no_output_of_clean(s3: str, tmp_path: Path) -> None:
    root = storage.join(s3, "secrets")
    crawl = small_crawl.build(tmp_path / "raw")
    for file in crawl.folder.iterdir():
        storage.upload(str(file), storage.join(root, "raw", file.name))
    events = tmp_path / "written" / "events"
    events.mkdir(parents=True)
    done = _run(
        ROOT / "jobs/clean.py",
        f"input.paths=['{root}/raw']",
        f"output.path={root}/out",
        f"output.log_file={tmp_path}/written/run.log",
        conf={
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.compress": "false",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{crawl.records} records in" in done.stdout
    written = {**dict(_local_files(tmp_path / "written")), **dict(_remote_files(f"{root}/out"))}
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert {"manifest.json", "run.json"} <= {storage.name(path) for path in written}
    assert {path: _found(content) for path, content in written.items() if _found(content)} == {}
    log = b"".join(content for path, content in written.items() if "events_" in path)
    for setting in ("spark.hadoop.fs.s3a.access.key", "spark.executorEnv.AWS_ACCESS_KEY_ID"):
        assert f'"{setting}":"*********(redacted)"'.encode() in log
    assert b'"spark.executorEnv.FSSPEC_HTTPS":"*********(redacted)"' in log


@pytest.mark.server
def test_the_ui_names_steps_and_shows_no_credentials(s3: str, tmp_path: Path) -> None:
    conf = {"spark.ui.enabled": "true", "spark.ui.port": "0", **ON_COMMAND_LINE}
    conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": tmp_path.as_uri()}
    conf |= {"spark.eventLog.compress": "false"}
    done = _run(ROOT / "tests/jobs/ui_job.py", f"output.path={storage.join(s3, 'ui')}", conf=conf)
    assert done.returncode == 0, done.stderr[-3000:]
    assert _found((done.stdout + done.stderr).encode()) == []
    pages = json.loads(done.stdout.splitlines()[-1])
    name = "ui: making numbers · writing numbers"
    assert {stage["name"] for stage in json.loads(pages["stages"])} == {name}
    for resource in ("jobs", "stages", "sql"):
        ran = [each for each in json.loads(pages[resource]) if each["status"] != "SKIPPED"]
        assert {each["description"] for each in ran} == {name}
    settings = dict(json.loads(pages["environment"])["sparkProperties"])
    for setting in (*ON_COMMAND_LINE, *(f"spark.executorEnv.{variable}" for variable in SECRETS)):
        assert settings[setting] == "*********(redacted)"
    log = dict(_local_files(tmp_path))
    assert log and {path: _found(content) for path, content in log.items() if _found(content)} == {}


@pytest.mark.parametrize(
    "path", ["https://user:planted-header@127.0.0.1:9/x.warc.gz", "https://planted-header@127.0.0.1:9/x"]
)
def test_credentials_in_an_address_are_refused_without_showing_them(tmp_path: Path, path: str) -> None:
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": tmp_path.as_uri()}
    out = tmp_path / "out"
    done = _run(ROOT / "jobs/clean.py", f'input.paths=["{path}"]', f"output.path={out}", conf=conf)
    assert done.returncode == 1
    assert "error: input.paths[0] = https://…@…: a user, password or token in an address" in done.stdout
    assert _found((done.stdout + done.stderr).encode()) == []
    assert not list(tmp_path.iterdir())
