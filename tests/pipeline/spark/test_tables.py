"""Tables are read in batches of bounded size, without a session."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.spark import tables

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
