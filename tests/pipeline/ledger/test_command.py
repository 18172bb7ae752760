"""``python -m pipeline.ledger`` on local and remote runs. The tables are written here, without Spark."""

import io
import re
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import errors, manifest, storage
from core.manifest import Manifest
from pipeline import document, ledger
from pipeline.ledger.__main__ import main
from pipeline.spark import record_processing

KEPT, FEW, NEAR, UNREAD, DAMAGED, REPEATED, KNOWN = (f"{number:032x}" for number in range(7))
THRESHOLDS = {
    "language.score": 0.65,
    "gopher.few_words": 50,
    "gopher.many_words": 1000,
    "toxicity.score": 0.98,
}


def _record(identifier, **values):
    origin = {"path": "crawl/a.warc.gz", "offset": 1234567, "length": 8901}
    empty = dict.fromkeys(record_processing.schema().names)
    return empty | {"id": identifier, "source": "commoncrawl", "origin": origin} | values


def _measured(identifier, count, **values):
    metrics = dict.fromkeys(document.METRICS) | {
        "gopher_words": count,
        "toxicity": 0.123456789,
        "pii_phones": 2,
    }
    fields = {
        "language": "en",
        "language_score": 0.9,
        "metrics": metrics,
        "url": f"https://example.org/{count}",
    }
    return _record(identifier, **fields, **values)


def _few(identifier, count, sample=None):
    verdict = {"reason": "gopher.few_words", "value": count, "threshold": 50, "sample": sample}
    return _measured(identifier, count, **verdict)


RECORDS = [
    _measured(KEPT, 120, text="The mill.\n\nIt stands \x1b[2Jby the river.", words=120, title="A mill"),
    _few(FEW, 17, "A short text."),
    _measured(NEAR, 121, text="The mill. It stood by the river.", words=119),
    _record(UNREAD, url="https://example.org/120", reason="read.http_status", value=404),
    _record(DAMAGED, error="gzip member cut short"),
    *(_few(f"{number:032x}", 10, f"Text {number}" if number % 2 else None) for number in range(100, 140)),
]
COPIES = [
    {"id": KEPT, "cluster": KEPT, "cluster_size": 2},
    {"id": NEAR, "cluster": KEPT, "cluster_size": 2, "reason": "dedup.near", "duplicate_of": KEPT},
]


def _write(folder, rows, schema):
    for number, part in enumerate((rows[:3], rows[3:])):
        stream = io.BytesIO()
        table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in part], schema)
        pq.write_table(table, stream, row_group_size=10)
        storage.write_atomic(storage.join(folder, f"part-{number}.parquet"), stream.getvalue())


CUT = {
    "id": REPEATED,
    "source": "books",
    "kept": False,
    "stage": "dedup",
    "reason": "dedup.repeated",
    "cut_characters": 1234,
}


def _build_dedup(out, **base):
    """Write a finished run of dedup: a copy of an indexed document, and one of which nothing is left."""
    texts = {KEPT: "The mill.", KNOWN: "The old mill.", REPEATED: "Accept cookies"}
    known = {"id": KNOWN, "reason": "dedup.exact", "duplicate_of": KEPT, "duplicate_in": "generation-0000"}
    records = [_record(identifier, text=text) for identifier, text in texts.items()]
    entries = [{"id": KEPT, "kept": True, "cut_characters": 17}, known, CUT]
    _write(storage.join(out, ledger.RECORDS), records, record_processing.schema())
    _write(storage.join(out, ledger.COPIES), [known | {"cluster_size": 2}], ledger.copies_schema())
    _write(storage.join(out, ledger.LEDGER), entries, ledger.schema())
    made = Manifest(
        stage="dedup",
        fingerprint="f",
        config={"dedup": {}, "ledger": {"sample_characters": 300, "sample_share": 0.1}},
        inputs=[base.get("folder", "")],
        counts={"records_in": 3, "dropped.dedup.exact": 1, "dropped.dedup.repeated": 1},
        files=[],
        facts={"run": base["sha256"]} if base else {},
    )
    manifest.publish(out, made)


def _build(out):
    """Write a small finished run, as clean does."""
    copies = {copy["id"]: copy for copy in COPIES}
    entries = [row | copies.get(row["id"], {}) for row in RECORDS if not row["error"]]
    entries = [row | {"reason": row["reason"] or copies.get(row["id"], {}).get("reason")} for row in entries]
    _write(storage.join(out, ledger.RECORDS), RECORDS, record_processing.schema())
    _write(storage.join(out, ledger.COPIES), COPIES, ledger.copies_schema())
    _write(storage.join(out, ledger.LEDGER), entries, ledger.schema())
    filters = {
        "thresholds": THRESHOLDS,
        "thresholds_by_language": {"gopher.many_words": {"en": 100}},
        "languages": [],
    }
    counts = {"records_in": 45, "dropped.gopher.few_words": 41, "dropped.dedup.near": 1}
    made = Manifest(
        stage="clean",
        fingerprint="f",
        config={"filters": filters, "ledger": {"sample_characters": 300, "sample_share": 0.1}},
        inputs=[],
        counts=counts,
        files=[],
    )
    manifest.publish(out, made)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ledger") / "run")
    _build(folder)
    return folder


@pytest.fixture
def query(out, capsys):
    def answer(*arguments):
        main([*arguments, "--set", f"output.path={out}"])
        return capsys.readouterr().out

    return answer


def test_history_of_a_kept_document_lists_every_condition(query):
    output = query("show", KEPT)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert lines[0] == f"{KEPT}: kept and published"
    assert "raw record crawl/a.warc.gz, 8,901 bytes at byte 1,234,567" in lines
    assert "duplicates a cluster of 2 documents" in lines
    assert "ok language_score 0.9 at least 0.65 language.score" in lines
    assert "ok gopher_words 120 at least 50 gopher.few_words" in lines
    assert "FAILS gopher_words 120 at most 100 gopher.many_words" in lines  # the threshold for English
    assert "ok toxicity 0.123457 at most 0.98 toxicity.score" in lines
    assert "pii_phones 2" in lines  # measured, without a condition
    assert "c4_sentences" not in output  # not measured
    assert lines[-2:] == ["The mill.", "It stands [2Jby the river."]
    assert "\x1b" not in output


def test_history_of_a_drop_states_reason_and_numbers(query):
    output = query("show", FEW)
    assert output.startswith(
        f"{FEW}: dropped by gopher.few_words, because the text has too few words: "
        "gopher_words is 17, and must be at least 50\n"
    )
    assert "gopher.few_words (decided)" in output
    assert output.endswith("    A short text.\n")
    assert "ledger.sample_share stores 10% of dropped texts" in query("show", f"{100:032x}")


def test_history_of_a_duplicate_names_the_survivor(query):
    output = query("show", NEAR)
    assert output.startswith(
        f"{NEAR}: dropped by dedup.near, because another document has nearly the same text: "
        f"{KEPT} https://example.org/120\n"
    )
    assert output.endswith("    The mill. It stood by the river.\n")


def test_url_shows_all_its_records_page_first(query):
    page, other = query("show", "https://example.org/120").split("\n\n")
    assert page.startswith(f"{KEPT}: kept")
    assert other.splitlines()[0] == (
        f"{UNREAD}: dropped by read.http_status, because the server did not return the page but "
        "an error, a redirect or another status: it is 404"
    )


def test_history_of_a_damaged_record_states_the_error(query):
    title, origin, *_ = query("show", DAMAGED).splitlines()
    assert title == f"{DAMAGED}: quarantined, because it could not be read: gzip member cut short"
    assert origin.startswith("  raw record  crawl/a.warc.gz, 8,901 bytes")


def test_samples_are_deterministic_and_those_with_text_come_first(query):
    output = query("sample", "--reason", "gopher.few_words", "--count", "3")
    title, *parts = output.rstrip("\n").split("\n\n")
    assert title == "gopher.few_words dropped 41 of 45 records, because the text has too few words"
    assert parts[0] == (
        f"{FEW} https://example.org/17: gopher_words is 17, and must be at least 50\n    A short text."
    )
    assert [part.splitlines()[-1].strip() for part in parts[1:]] == ["Text 101", "Text 103"]
    assert output == query("sample", "--reason", "gopher.few_words", "--count", "3")
    assert len(query("sample", "--reason", "gopher.few_words", "--count", "99").split("\n\n")) == 42


def test_samples_of_duplicates_show_text_and_survivor(query):
    assert query("sample", "--reason", "dedup.near").split("\n\n")[1] == (
        f"{NEAR} https://example.org/121: duplicate of {KEPT} https://example.org/120\n"
        "    The mill. It stood by the river.\n"
    )


def test_samples_of_a_reason_that_dropped_nothing(query):
    assert query("sample", "--reason", "c4.lorem_ipsum").startswith("c4.lorem_ipsum dropped 0 of 45 records")


def test_decisions_of_a_run_of_dedup_are_those_of_its_ledger(tmp_path, capsys):
    out = str(tmp_path / "run")
    _build_dedup(out)

    def answer(*arguments):
        main([*arguments, "--set", f"output.path={out}"])
        return " ".join(capsys.readouterr().out.split())

    kept = answer("show", KEPT)
    assert kept.startswith(f"{KEPT}: kept and published raw record")
    assert "cut 17 characters of repeated lines and passages" in kept
    meaning = "nothing is left of it without the lines and passages that other documents repeat"
    repeated = answer("show", REPEATED)
    assert repeated.startswith(f"{REPEATED}: dropped by dedup.repeated, because {meaning} raw record")
    survivor = f"{KEPT} of an earlier run (generation-0000 of the signature index)"
    known = answer("show", KNOWN)
    assert known.startswith(
        f"{KNOWN}: dropped by dedup.exact, because another document has the same text: {survivor} raw record"
    )
    assert "duplicates a cluster of 2 documents" in known
    assert answer("sample", "--reason", "dedup.exact").endswith(
        f"{KNOWN}: duplicate of {survivor} The old mill."
    )
    assert answer("sample", "--reason", "dedup.repeated").endswith(f"{meaning} {REPEATED} Accept cookies")


def test_run_decided_about_again_shows_the_filters_of_the_first_one(out, tmp_path, capsys):
    again = tmp_path / "again"
    _build(str(again))
    _build_dedup(str(tmp_path / "dedup"), folder=out, sha256=manifest.read(out, "clean").sha256())
    (again / manifest.NAME).write_bytes((tmp_path / "dedup" / manifest.NAME).read_bytes())
    main(["show", FEW, "--set", f"output.path={again}"])
    assert "FAILS gopher_words 17 at least 50 gopher.few_words (decided)" in " ".join(
        capsys.readouterr().out.split()
    )
    _build_dedup(str(tmp_path / "moved"), folder=out, sha256="of another run")
    (again / manifest.NAME).write_bytes((tmp_path / "moved" / manifest.NAME).read_bytes())
    main(["show", FEW, "--set", f"output.path={again}"])
    shown = capsys.readouterr().out
    assert "dropped by gopher.few_words" in shown and "FAILS" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "f" * 32], rf"error: {'f' * 32}: no record of .*/run has this id; "),
        (
            ["show", "https://example.org/"],
            r"error: https://example.org/: no record of .*/run has this url; ",
        ),
        (
            ["sample", "--reason", "gopher.few_word"],
            r"error: --reason gopher.few_word: .* gopher\.few_words$",
        ),
        (["sample", "--reason", "dedup.near", "--count", "0"], r"error: --count 0: must be at least 1; .*"),
    ],
)
def test_unknown_keys_and_reasons_are_one_line_errors(out, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ledger", *arguments, "--set", f"output.path={out}"])
    with pytest.raises(SystemExit, match="1"):
        errors.run(main)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert re.match(message, output.err.rstrip())


def test_folder_without_a_run_is_rejected(tmp_path):
    with pytest.raises(errors.ManifestError, match="neither clean nor dedup was run"):
        main(["show", KEPT, "--set", f"output.path={tmp_path}"])


@pytest.mark.server
@pytest.mark.parametrize("server", ["s3", "hdfs"])
def test_remote_runs_give_the_same_answers(server, request, query, capsys):
    remote = storage.join(request.getfixturevalue(server), uuid.uuid4().hex)
    _build(remote)
    for arguments in (["show", NEAR], ["sample", "--reason", "gopher.few_words"]):
        main([*arguments, "--set", f"output.path={remote}"])
        assert capsys.readouterr().out == query(*arguments)
