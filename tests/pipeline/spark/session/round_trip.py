"""Job for the tests: write and read a table in each of ``input.paths``, by Spark and by Python in tasks."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from core import storage
from core.config import from_command_line
from core.errors import run
from pipeline.spark.session.builder import session


def main(arguments: Sequence[str]) -> None:
    config = from_command_line("A round trip.", arguments)
    assert config is not None
    spark = session(config, "round trip")
    answer = {
        "settings": {
            key: value for key, value in spark.sparkContext.getConf().getAll() if key != "spark.jars"
        },
        "roots": [_round_trip(spark, root) for root in config.input.paths],
    }
    print(json.dumps(answer))
    spark.stop()


def _round_trip(spark: SparkSession, root: str) -> dict[str, Any]:
    table = storage.spark_path(storage.join(root, "table"))
    frame = spark.range(100, numPartitions=3).selectExpr("id", "cast(id % 2 as string) as half")
    for _ in range(2):
        frame.write.mode("overwrite").partitionBy("half").parquet(table)
    listed = [file.path for file in storage.list_files(storage.join(root, "table"))]

    def count_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for path in batch.column("path").to_pylist():
                with storage.open_read(path) as stream:
                    rows = pq.ParquetFile(stream).metadata.num_rows
                storage.write_atomic(path.replace("/table/", "/rows/"), str(rows).encode())
                yield pa.record_batch({"rows": [rows]})

    counted = spark.createDataFrame([(path,) for path in listed], "path string").mapInArrow(
        count_rows, "rows long"
    )
    return {
        "sum": spark.read.parquet(table).agg({"id": "sum"}).collect()[0][0],
        "files": listed,
        "rows": counted.agg({"rows": "sum"}).collect()[0][0],
        "written": len(storage.list_files(storage.join(root, "rows"))),
    }


if __name__ == "__main__":
    run(main)
