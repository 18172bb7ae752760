"""A corpus whose files were lost, doubled or mixed with others is not published."""

import shutil
import uuid
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from core import manifest
from core.config import load
from core.errors import ManifestError, OutputError
from core.stage import Stage
from pipeline.ledger import COPIES, RECORDS
from pipeline.spark import checks, clean, counting, publishing, tables
from tests import small_crawl

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("crawl") / "raw").folder


@pytest.fixture(scope="module")
def cleaned(spark, crawl, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return out, clean.clean(spark, configured(crawl, out))


@pytest.fixture
def copied(cleaned, tmp_path):
    return Path(shutil.copytree(cleaned[0], tmp_path / "out"))


def configured(crawl, out):
    return load(None, [f'input.paths=["{crawl}"]', f"output.path={out}"])


def check(spark, made, out):
    """Check a copy of a run as before its publication."""
    owned = (*publishing.TABLES, "analysis")
    stage = Stage("clean", str(out), made.fingerprint, made.config, owned=owned)
    counts, _, _ = counting.count_records(spark, str(out))
    files = [entry for table in publishing.TABLES for entry in tables.file_entries(spark, str(out), table)]
    checks.check_corpus(spark, stage, f"{out}/{RECORDS}", counts, files)


def largest(out, table):
    """Return the largest file of a table."""
    return max((out / table).rglob("*.parquet"), key=lambda path: path.stat().st_size)


def add(out, table):
    """Add a file, as another driver would."""
    path = largest(out, table)
    task, _ = path.name.removeprefix("part-").split("-", 1)
    shutil.copy(path, path.with_name(f"part-{task}-{uuid.uuid4()}.c000.snappy.parquet"))


def double(out, table):
    """Copy a file under the name of another task."""
    path = largest(out, table)
    task, rest = path.name.removeprefix("part-").split("-", 1)
    shutil.copy(path, path.with_name(f"part-{int(task) + 900:05}-{rest}"))


def remove(out, table):
    largest(out, table).unlink()


def test_a_run_as_it_was_written_is_accepted(spark, cleaned, copied):
    check(spark, cleaned[1], copied)


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        *((table, add, "2 Spark jobs wrote to it") for table in (*publishing.TABLES, RECORDS, COPIES)),
        ("documents", double, r"has \d+ rows, but \d+ records are kept by the ledger"),
        ("documents", remove, r"has \d+ rows, but \d+ records are kept by the ledger"),
        ("ledger", double, r"has \d+ rows, but \d+ records were read"),
        ("ledger", remove, r"has \d+ rows, but \d+ records were read"),
        ("quarantine", double, r"has \d+ rows, but \d+ records were read"),
        ("quarantine", remove, r"has \d+ rows, but \d+ records were read"),
        (RECORDS, double, "its files are not those that were written"),
        (COPIES, double, "its files are not those that were written"),
        (RECORDS, remove, "its files are not those that were written"),
        (COPIES, remove, "its files are not those that were written"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(spark, cleaned, copied, table, change, problem):
    change(copied, table)
    named = "ledger" if table == "quarantine" and change is not add else table
    message = rf"^{copied}/{named}: [^\n]*{problem}[^\n]*; nothing is published; run it again$"
    with pytest.raises(OutputError, match=message):
        check(spark, cleaned[1], copied)
    # What the next run makes again.
    is_intact = table == "documents" or (change is add and table in publishing.TABLES)
    assert (copied / "analysis").exists() == is_intact


def rewrite(spark, table, schema_of, change):
    """Write a table again, with the same number of rows."""
    folder = f"{table}-before"
    shutil.move(table, folder)
    tables.write(change(spark.read.parquet(folder)).select(*schema_of), str(table))
    shutil.rmtree(folder)


def test_ids_are_compared_where_numbers_agree(spark, cleaned, copied):
    rows = spark.read.parquet(str(copied / "documents"))
    columns, (first, second) = rows.columns, [row["id"] for row in rows.select("id").limit(2).collect()]
    twice = {"id": f"if(id = '{first}', '{second}', id)"}

    def doubled(table):
        return table.withColumns({name: F.expr(text) for name, text in twice.items()})

    rewrite(spark, copied / "documents", columns, doubled)
    with pytest.raises(
        OutputError, match=r"/documents: the ids are not those that the ledger keeps; files were"
    ):
        check(spark, cleaned[1], copied)
    rewrite(spark, copied / "ledger", spark.read.parquet(str(copied / "ledger")).columns, doubled)
    with pytest.raises(OutputError, match=rf"/ledger: the id {second} is in 2 rows, but ids are unique; "):
        check(spark, cleaned[1], copied)
    assert not (copied / "analysis").exists()


@pytest.mark.parametrize(("table", "change"), [("documents", remove), (RECORDS, remove)])
def test_the_next_run_publishes_what_an_undisturbed_one_does(
    spark, crawl, cleaned, tmp_path, monkeypatch, table, change
):
    out = tmp_path / "out"
    disturbed = publishing if table == RECORDS else counting
    name = "write_tables" if table == RECORDS else "publish"
    function = getattr(disturbed, name)

    def change_before(*arguments):
        """Change the table before others are made from it."""
        change(out, table)
        return function(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(disturbed, name, change_before)
        with pytest.raises(OutputError, match="nothing is published; run it again"):
            clean.clean(spark, configured(crawl, out))
    with pytest.raises(ManifestError):
        manifest.read(str(out), "clean")
    assert not [path for path in out.iterdir() if "lock" in path.name]
    made = clean.clean(spark, configured(crawl, out))
    assert (made.counts, made.facts) == (cleaned[1].counts, cleaned[1].facts)
