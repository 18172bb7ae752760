"""Terminal summary of a finished job."""

import pytest

from core.manifest import Manifest
from pipeline.reports.summary import describe, warnings


@pytest.fixture
def made() -> Manifest:
    counts = {"records_in": 1234, "kept": 1200, "dropped": 33, "quarantined": 1}
    counts |= {"dropped.dedup.near": 3, "dropped.dedup.exact": 30}
    edits = {
        "documents": 1200,
        "edited": 7,
        "characters": 1000,
        "removed_characters": 100,
        "removed_lines": 9,
    }
    return Manifest(
        stage="clean",
        fingerprint="f",
        config={"dedup": {"sources": ["wiki", "web"]}},
        inputs=[],
        counts=counts,
        files=[],
        facts={"by_source": {"web": {}, "books": {}}, "edits": {"web": edits}},
    )


def test_records_reasons_and_edits_are_described(made: Manifest) -> None:
    assert list(describe(made)) == [
        "clean: 1,234 records in, 1,200 kept, 33 dropped, 1 quarantined",
        "            30 dedup.exact",
        "             3 dedup.near",
        "clean: 9 lines and 10.0% of the characters were removed from 7 of 1,200 kept texts",
    ]


def test_unread_inputs_and_unknown_sources_are_warned_about(made: Manifest) -> None:
    (unknown,) = warnings(made)
    assert unknown == "dedup.sources: no record is of the source wiki; the sources are web, books"
    skipped, _ = warnings(made.model_copy(update={"skipped_inputs": {"a.csv": "format"}}))
    assert skipped.startswith("1 path of the inputs is not read (format: 1, such as a.csv); manifest.json")
    known = made.model_copy(update={"config": {"dedup": {"sources": ["web"]}}})
    assert not list(warnings(known))
