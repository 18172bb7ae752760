"""The closing table, and the law that it checks."""

import json
from pathlib import Path

import pytest

from core import manifest
from core.errors import ManifestError
from core.manifest import Manifest
from demo import summary

COUNTS = {
    "records_in": 100,
    "kept": 60,
    "dropped": 38,
    "dropped.gopher.few_words": 8,
    "dropped.dedup.near": 30,
    "quarantined": 2,
    "duplicate_clusters": 12,
}


def _manifest(stage: str, counts: dict[str, int]) -> Manifest:
    return Manifest(stage=stage, fingerprint="", config={}, inputs=[], counts=counts, files=[])


def test_balanced_counts_pass() -> None:
    summary.check_balance(_manifest("clean", COUNTS))


def test_lost_record_is_detected() -> None:
    with pytest.raises(ManifestError, match="100 records went in but 99"):
        summary.check_balance(_manifest("clean", COUNTS | {"kept": 59}))


def test_reasons_are_sorted_by_frequency() -> None:
    assert list(summary.dropped(_manifest("clean", COUNTS))) == ["dedup.near", "gopher.few_words"]


@pytest.mark.parametrize("stage", manifest.CORPUS_STAGES)
def test_table(stage: str, tmp_path: Path) -> None:
    manifest.publish(str(tmp_path), _manifest(stage, COUNTS))
    manifest.publish(str(tmp_path / "shards"), _manifest("pack", {"tokens": 123_456}))
    training = tmp_path / "training"
    manifest.publish(str(training), _manifest("train", {"steps": 9, "parameters": 1_000}))
    bits = {"bits_per_byte": 1.875, "unigram_bits_per_byte": 2.5}
    (training / "validation.json").write_text(json.dumps({"sources": {"all": bits}}))
    words = summary.table(tmp_path).split()
    for expected in ("100", "60", "38", "30", "2", "holds", "12", "123,456", "1.875", "2.500"):
        assert expected in words
