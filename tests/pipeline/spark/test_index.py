import json
import shutil
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from core import storage
from core.config import load
from core.errors import ConfigError, InputError
from pipeline.document import document_id
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, InputSplit, Record
from pipeline.readers.warc import indexed
from pipeline.spark.clean import clean
from pipeline.spark.inputs import plan_inputs
from tests import small_crawl
from tests.servers.web import web_server

pytestmark = pytest.mark.spark

WANTED = "fetch_status = 200 AND url_host_registered_domain = 'example.com' AND warc_record_offset % 3 = 0"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Two WARC files in Common Crawl's layout, and their index."""
    root = tmp_path_factory.mktemp("commoncrawl")
    crawl = small_crawl.build(root / "made")
    folder = root / "crawl-data/CC-MAIN-2026-30/segments/1.0/warc"
    folder.mkdir(parents=True)
    for name in ("first.warc.gz", "second.warc"):
        shutil.move(crawl.folder / name, folder / name)
    rows = [row for path in sorted(folder.iterdir()) for row in _index_rows(path, root)]
    index = root / "index"
    index.mkdir()
    # Several files, and one duplicate row.
    for number, part in enumerate((rows[:5], rows[4:10], rows[10:])):
        pq.write_table(pa.Table.from_pylist(part), index / f"part-{number}.parquet")
    return root


def _index_rows(path: Path, root: Path) -> list[dict]:
    (split,) = plan_splits(load(None, [f'input.paths=["{path}"]']).input)
    return [
        {
            "url": item.url,
            "url_host_registered_domain": urlsplit(item.url).hostname,
            "fetch_status": 200 if isinstance(item, Record) else 404,
            "warc_filename": str(path.relative_to(root)),
            "warc_record_offset": item.origin.offset,
            "warc_record_length": item.origin.length,
        }
        for item in read(split)
        if not isinstance(item, Damaged)
    ]


def _config(copy: Path, out: Path, where: str, base: str = ""):
    return load(
        None,
        [
            f"input.index.path={copy}/index",
            f"input.index.where={json.dumps(where)}",
            f"input.commoncrawl={base or copy}",
            f"output.path={out}",
            "filters.preset=none",
            "dedup.exact=false",
            "dedup.near=false",
        ],
    )


def test_only_the_byte_ranges_of_selected_records_are_read(spark, copy, tmp_path):
    full = {
        document_id(split.file_name, item.origin.offset)
        for split in plan_splits(load(None, [f'input.paths=["{copy}/crawl-data"]']).input)
        for item in read(split)
    }
    with web_server(copy) as web:
        made = clean(spark, _config(copy, tmp_path / "chosen", WANTED, web.url))
        asked = Counter((response.path, response.start, response.length) for response in web.responses)
    table = ds.dataset(tmp_path / "chosen/documents", partitioning="hive").to_table()
    chosen = set(table["id"].to_pylist())
    assert made.counts["kept"] == made.counts["records_in"] == table.num_rows == len(chosen)
    assert 3 < len(chosen) < len(full)
    assert chosen < full
    rows = ds.dataset(copy / "index").to_table().to_pylist()
    wanted = {
        (f"/{row['warc_filename']}", row["warc_record_offset"], row["warc_record_length"])
        for row in rows
        if row["fetch_status"] == 200 and row["warc_record_offset"] % 3 == 0
    }
    assert asked == Counter(wanted)


@pytest.mark.server
def test_index_and_records_on_s3(spark, s3, copy):
    root = storage.join(s3, "indexed")
    for file in storage.list_files(str(copy)):
        storage.upload(file.path, storage.join(root, file.path.removeprefix(f"{copy}/")))
    local, remote = (
        [
            split.asDict()
            for split in plan_inputs(spark, _config(copy, Path("out"), WANTED, base).input).splits().collect()
        ]
        for base in (str(copy), root)
    )
    assert [split["path"] for split in remote] == [split["path"].replace(str(copy), root) for split in local]
    found = [
        sorted(
            (item for _, item in indexed.read(InputSplit(**split) for split in splits)), key=lambda i: i.url
        )
        for splits in (local, remote)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == len(local) > 3


@pytest.mark.parametrize("where", ["language = 'da'", "fetch_status =", "fetch_status", "url = 'none'"])
def test_invalid_or_unmatched_conditions_are_rejected(spark, copy, tmp_path, where):
    with pytest.raises(InputError, match=r"input\.index\.where = ") as caught:
        clean(spark, _config(copy, tmp_path / "out", where))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_error_for_an_unknown_column_lists_the_columns(spark, copy, tmp_path, capfd):
    with pytest.raises(InputError, match=r"`language` cannot be resolved.* the index has url, url_host"):
        clean(spark, _config(copy, tmp_path / "out", "language = 'da'"))
    assert "UNRESOLVED_COLUMN" not in capfd.readouterr().err


def test_invalid_index_is_rejected(spark, copy, tmp_path):
    pq.write_table(pa.table({"url": ["x"]}), tmp_path / "other.parquet")
    (tmp_path / "no.parquet").write_text("not Parquet")
    for name, message in [
        ("other.parquet", "no column 'warc_filename'"),
        ("no.parquet", "not a Parquet file, as an index must be"),
        ("none", "nothing there"),
    ]:
        config = load(None, [f"input.index.path={tmp_path}/{name}", f"output.path={tmp_path}/out"])
        with pytest.raises(InputError, match=message) as caught:
            clean(spark, config)
        assert "\n" not in str(caught.value)


def test_exactly_one_of_paths_and_index_must_be_set(spark, copy, tmp_path):
    for options in ([], ['input.paths=["x"]', f"input.index.path={copy}/index"]):
        with pytest.raises(ConfigError, match="one of them must say what to read"):
            clean(spark, load(None, [f"output.path={tmp_path}/out", *options]))
