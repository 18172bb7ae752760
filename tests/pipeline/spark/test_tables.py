"""Tables whose files cannot be listed are no empty tables."""

from pathlib import Path

import pytest

from core import storage
from core.errors import InputError, MissingFileError, UnavailableError
from core.storage import retries
from pipeline.spark import tables
from pipeline.spark.dedup.parts import parts_of
from tests.servers.faulty_s3 import faulty_s3


def test_table_without_files_is_empty(tmp_path: Path) -> None:
    assert tables.parquet_files(str(tmp_path / "none")) == []
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "part-0.parquet").touch()
    assert tables.parquet_files(str(tmp_path)) == []
    (tmp_path / "source=a").mkdir()
    (tmp_path / "source=a" / "part-0.parquet").touch()
    assert tables.parquet_files(str(tmp_path)) == [str(tmp_path / "source=a" / "part-0.parquet")]


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").touch()
    (tmp_path / "part-1.parquet").symlink_to("lost")
    with pytest.raises(InputError, match=r"part-1\.parquet: cannot be read \(a link to nothing\), but"):
        tables.parquet_files(str(tmp_path))


def test_records_without_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no Parquet files, but a table was written there"):
        parts_of(None, str(tmp_path))  # type: ignore[arg-type]  # fails before it uses the session


@pytest.mark.server
@pytest.mark.parametrize("answer", [(503, "SlowDown"), (403, "AccessDenied"), (404, "NoSuchBucket")])
def test_failed_listing_is_an_error(answer: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "SECONDS", 0.1)
    with faulty_s3() as server:
        folder = f"{server.root}/records"
        storage.write_atomic(f"{folder}/part-0.parquet", b"x")
        for text in ("list-type=2", "HEAD"):
            server.fail(text, *answer, times=99)
            if (text, answer[0]) != ("HEAD", 404):  # S3 answers so for a folder: its files are listed then
                with pytest.raises((UnavailableError, InputError)) as caught:
                    tables.parquet_files(folder)
                assert not isinstance(caught.value, MissingFileError)
            server.faults.clear()
        assert tables.parquet_files(folder) == [f"{folder}/part-0.parquet"]
