"""Files are split alike in tasks and in the driver."""

import gzip
import json
from functools import partial
from pathlib import Path

import pytest

from core.config import InputConfig
from core.errors import UnavailableError
from pipeline.readers.inputs import InputFile, find, split_in_threads
from pipeline.spark.inputs import split_in_tasks
from tests.servers.web import web_server

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


@pytest.mark.server
def test_file_whose_storage_fails_is_not_left_out(spark, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(b'{"text": "hello"}\n')
    with web_server(tmp_path, errors={"/c.jsonl": 403}) as web:
        files = [InputFile(f"{web.url}/{name}.jsonl", name, None, "") for name in "abc"]
        settings = InputConfig(paths=tuple(file.path for file in files))
        for split in (split_in_threads, partial(split_in_tasks, spark)):
            assert [len(splits) for splits in split(files[:2], settings)] == [1, 1]
            with pytest.raises(UnavailableError, match=r"^http://\S+/c\.jsonl: access is denied .*; check"):
                list(split(files, settings))
