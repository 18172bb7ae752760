"""A new crawl compared with the signatures of an earlier one."""

import json

import pyarrow.parquet as pq
import pytest

from core import manifest
from core.config import load
from core.errors import InputError, ManifestError, MismatchError, OutputError
from core.storage import locks
from pipeline.spark import tables
from pipeline.spark.dedup.signature_index import add_run, open_index, validate
from pipeline.spark.dedup.stage import dedup
from tests.pipeline.spark.dedup import corpus

pytestmark = pytest.mark.spark


def configured(out, path, *settings):
    return load(None, [f"input.paths=['{path}']", f"output.path={out}", "dedup.keep=['oldest']", *settings])


def decisions(run):
    """Return the documents that stay, and the one that each dropped document resembles."""
    kept, dropped = (pq.read_table(run / name).to_pylist() for name in ("documents", "duplicates"))
    for row in dropped:
        assert row["duplicate_in"] or row["duplicate_of"] in {each["id"] for each in kept}
    return {row["id"] for row in kept}, {row["id"]: row["duplicate_of"] for row in dropped}


@pytest.fixture(scope="module")
def crawls(tmp_path_factory):
    """Three crawls that copy each other's documents, the later one's dates after the earlier one's."""
    folder = tmp_path_factory.mktemp("crawls")
    rows = corpus.documents(150, seed=3)
    for number in range(3):
        dated = [row | {"date": f"{2001 + number}-01-01"} for row in rows[50 * number : 50 * (number + 1)]]
        corpus.write(dated, folder / f"crawl-{number}.jsonl")
    return folder


@pytest.fixture(scope="module")
def indexed(spark, crawls, tmp_path_factory):
    """The crawls one after the other, each compared with the index of those before it."""
    folder = tmp_path_factory.mktemp("indexed")
    index = folder / "index"
    for number in range(3):
        settings = [f"dedup.index={index}"] if number else []
        dedup(spark, configured(folder / f"run-{number}", crawls / f"crawl-{number}.jsonl", *settings))
        add_run(spark, configured(folder / f"run-{number}", "x", f"dedup.index={index}"))
    return folder


def test_crawls_one_after_the_other_lose_what_they_would_lose_at_once(spark, crawls, indexed, tmp_path):
    dedup(spark, configured(tmp_path / "all", crawls))
    kept, dropped = decisions(tmp_path / "all")
    found = [decisions(indexed / f"run-{number}") for number in range(3)]
    assert kept == set().union(*(each for each, _ in found))
    assert dropped == {key: value for _, each in found for key, value in each.items()}
    assert any(survivor in found[0][0] for survivor in found[2][1].values())


def test_index_holds_the_documents_that_stayed(spark, indexed):
    made = json.loads((indexed / "index" / "manifest.json").read_text())
    kept = [len(decisions(indexed / f"run-{number}")[0]) for number in range(3)]
    assert [each["documents"] for each in made["facts"]["generations"]] == kept
    assert made["counts"] == {"documents": sum(kept)}
    again = add_run(spark, configured(indexed / "run-1", "x", f"dedup.index={indexed / 'index'}"))
    assert again.counts == made["counts"] and len(list((indexed / "index").glob("generation-*"))) == 3


def test_a_finished_run_is_done_although_it_was_added_since(spark, crawls, indexed, capsys):
    config = configured(indexed / "run-1", crawls / "crawl-1.jsonl", f"dedup.index={indexed / 'index'}")
    assert dedup(spark, config).facts["index"] == generations(indexed)[:1]
    assert "dedup: already done" in capsys.readouterr().out


def test_a_run_is_not_compared_with_itself(spark, indexed, tmp_path):
    settings = [f"dedup.run={indexed / 'run-0'}", f"output.path={tmp_path / 'out'}"]
    with pytest.raises(MismatchError, match="duplicates of themselves"):
        dedup(spark, load(None, [*settings, f"dedup.index={indexed / 'index'}"]))


def test_index_with_captures_of_one_address(spark, crawls, indexed, tmp_path):
    index = f"dedup.index={indexed / 'index'}"
    rows = corpus.documents(40, seed=5)
    for number, row in enumerate(rows):
        row["url"] = f"http://a.org/{number % 30}"
    path = corpus.write(rows, tmp_path / "a.jsonl")
    made = dedup(spark, configured(tmp_path / "out", path, "dedup.url=true", index))
    assert made.counts["dropped.dedup.url"] == 10


def generations(indexed):
    made = json.loads((indexed / "index" / "manifest.json").read_text())
    return [each["corpus"] for each in made["facts"]["generations"]]


def test_damaged_foreign_and_other_indexes_are_refused(spark, crawls, indexed, tmp_path):
    path = crawls / "crawl-2.jsonl"

    def refused(error, match, index, *settings):
        with pytest.raises(error, match=match):
            dedup(spark, configured(tmp_path / "out", path, f"dedup.index={index}", *settings))
        assert not (tmp_path / "out").exists()

    other = ("dedup.bands=20", "dedup.rows=5")
    refused(MismatchError, r"made with dedup\.bands = 14, but 20", indexed / "index", *other)
    refused(MismatchError, r"made with dedup\.shingle = 5, but 4", indexed / "index", "dedup.shingle=4")
    refused(ManifestError, "of stage dedup, but signature_index", indexed / "run-0")
    refused(ManifestError, r"has no manifest\.json", tmp_path / "nothing")
    keys = next((indexed / "index" / f"generation-{generations(indexed)[1]}" / "keys").iterdir())
    intact = keys.read_bytes()
    for damaged in (intact[:-1], intact[:50] + bytes([intact[50] ^ 1]) + intact[51:]):
        keys.write_bytes(damaged)
        refused(ManifestError, keys.name, indexed / "index")
    keys.write_bytes(intact)
    assert open_index(spark, configured(tmp_path, "x", f"dedup.index={indexed / 'index'}"))


def test_runs_of_other_parameters_and_folders_of_other_files_are_no_index(spark, crawls, indexed, tmp_path):
    dedup(spark, configured(tmp_path / "run", crawls / "crawl-0.jsonl", "dedup.shingle=3"))
    with pytest.raises(MismatchError, match=r"dedup\.shingle = 5, but 3"):
        add_run(spark, configured(tmp_path / "run", "x", f"dedup.index={indexed / 'index'}"))
    with pytest.raises(InputError, match="holds files that are no signature index"):
        validate(configured(tmp_path / "run", "x", f"dedup.index={tmp_path / 'run' / 'documents'}"))


@pytest.mark.parametrize("part", ["config", "facts"])
def test_manifest_without_parameters_or_generations_is_refused(tmp_path, part):
    content = {"config": {"bands": 14}, "facts": {"buckets": 1}} | {part: {}}
    described = {"stage": "signature_index", "fingerprint": "", "inputs": [], "counts": {}, "files": []}
    (tmp_path / "manifest.json").write_text(json.dumps(described | content))
    with pytest.raises(ManifestError, match="lacks what the manifest of a signature index holds"):
        validate(configured(tmp_path / "run", "x", f"dedup.index={tmp_path}"))


def test_empty_folder_becomes_an_index_and_foreign_files_are_kept(tmp_path):
    folder = tmp_path / "generation-1" / "index"
    folder.mkdir(parents=True)
    for index in (folder, f"file://{folder}"):
        validate(configured(tmp_path, "x", f"dedup.index={index}"))
    hidden = folder / "generation-2" / "signatures" / "_temporary" / "part.parquet"
    hidden.parent.mkdir(parents=True)
    hidden.write_bytes(b"half")
    validate(configured(tmp_path, "x", f"dedup.index={folder}"))
    (folder / "notes.txt").write_text("mine")
    for index in (folder, f"file://{folder}"):
        with pytest.raises(InputError, match="holds files that are no signature index"):
            validate(configured(tmp_path, "x", f"dedup.index={index}"))


def test_interrupted_addition_is_repeated(spark, crawls, indexed, tmp_path):
    index = tmp_path / "index"
    half = index / f"generation-{generations(indexed)[0]}" / "keys" / "keys-00000.parquet"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    (index / "generation-of-another-attempt" / "keys").mkdir(parents=True)
    made = add_run(spark, configured(indexed / "run-0", "x", f"dedup.index={index}"))
    assert open_index(spark, configured(tmp_path, "x", f"dedup.index={index}")).manifest == made
    assert sorted(path.name for path in index.iterdir()) == [half.parts[-3], "manifest.json"]


def test_addition_that_is_killed_before_it_is_published_changes_nothing(
    spark, crawls, indexed, tmp_path, monkeypatch
):
    index = tmp_path / "index"
    first, second = (configured(indexed / f"run-{number}", "x", f"dedup.index={index}") for number in (0, 1))
    before = add_run(spark, first)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "publish", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            add_run(spark, second)
    assert open_index(spark, first).manifest == before
    assert add_run(spark, first) == before
    made = add_run(spark, second)
    whole = json.loads((indexed / "index" / "manifest.json").read_text())
    assert made.facts["generations"] == whole["facts"]["generations"][:2]
    assert not [path for path in index.iterdir() if "lock" in path.name]


def test_one_process_at_a_time_adds_to_an_index(spark, indexed, tmp_path):
    index = tmp_path / "index"
    config = configured(indexed / "run-0", "x", f"dedup.index={index}")
    with (
        locks.held(str(index), "signature_index"),
        pytest.raises(OutputError, match=r"/index: signature_index is running there, as process \d+"),
    ):
        add_run(spark, config)
    assert not index.exists()


def test_a_run_that_an_index_has_needs_no_lock(spark, indexed):
    index = indexed / "index"
    config = configured(indexed / "run-0", "x", f"dedup.index={index}")
    before = json.loads((index / "manifest.json").read_text())
    with locks.held(str(index), "signature_index"):
        assert add_run(spark, config).model_dump(mode="json") == before


def test_signatures_are_counted_before_they_are_published(spark, indexed, tmp_path, monkeypatch):
    index, entries = tmp_path / "index", tables.file_entries

    def lossy(spark, folder, name):
        found = entries(spark, folder, name)
        return [entry for entry in found if "/keys/" in entry.path]

    monkeypatch.setattr(tables, "file_entries", lossy)
    with pytest.raises(OutputError, match=r"has 0 signatures, but the run has \d+ documents; nothing is"):
        add_run(spark, configured(indexed / "run-0", "x", f"dedup.index={index}"))
    assert not (index / "manifest.json").exists()
