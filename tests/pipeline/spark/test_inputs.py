"""Files are split alike in tasks and in the driver."""

import gzip
import json
from pathlib import Path

import pytest

from core.config import InputConfig
from pipeline.readers.inputs import find, split_in_threads
from pipeline.spark.inputs import split_in_tasks

pytestmark = pytest.mark.spark


def test_tasks_split_files_as_threads_do(spark, tmp_path):
    rows = "".join(json.dumps({"text": f"text {number}"}) + "\n" for number in range(20_000))
    (tmp_path / "large.jsonl").write_text(rows)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "unknown.bin").write_bytes(bytes(range(256)))
    settings = InputConfig(paths=(str(tmp_path),), split_bytes=1 << 16)
    files, _ = find(settings)
    in_driver = list(split_in_threads(files, settings))
    assert split_in_tasks(spark, files, settings) == in_driver
    by_name = {Path(file.path).name: found for file, found in zip(files, in_driver, strict=True)}
    assert len(by_name["large.jsonl"]) > 5 and by_name["empty.jsonl"] == []
    assert "unknown.bin: " in by_name["unknown.bin"]
