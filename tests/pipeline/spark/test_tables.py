"""Tables are read in batches of bounded size; files that cannot be listed are no empty tables."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import storage
from core.errors import InputError, MissingFileError, UnavailableError
from core.storage import retries
from pipeline.spark import tables
from pipeline.spark.dedup.parts import parts_of
from tests.servers.faulty_s3 import faulty_s3

ORIGIN = {"path": "a.warc", "offset": 1}


def test_batches_of_large_rows_have_few_rows(tmp_path: Path) -> None:
    texts = ["t" * 5_000_000] * 20 + ["small"] * 3_000
    table = pa.table({"text": texts, "origin": [ORIGIN] * len(texts), "id": map(str, range(len(texts)))})
    path = str(tmp_path / "part.parquet")
    pq.write_table(table, path, row_group_size=20, use_dictionary=False)
    batches = list(tables.read_batches(path, ["origin", "text"]))
    assert pa.Table.from_batches(batches) == table.select(["origin", "text"])
    assert max(batch.nbytes for batch in batches) <= tables.BATCH_BYTES
    assert len(list(tables.read_batches(path, ["id"]))) == pq.ParquetFile(path).num_row_groups


def test_table_without_rows_has_no_batches(tmp_path: Path) -> None:
    path = str(tmp_path / "part.parquet")
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), path)
    assert not [batch for batch in tables.read_batches(path, ["id"]) if batch.num_rows]


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
