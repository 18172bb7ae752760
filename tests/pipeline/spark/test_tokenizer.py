"""The tokenizer stage: kinds, existing tokenizers, and the report on held-out documents."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from core import manifest
from core.config import Config, OutputConfig, PackConfig, TokenizerConfig
from core.errors import InputError, OutputError
from core.manifest import Manifest
from core.shards import Shards
from core.tokenizer import load_published, train
from jobs import train_tokenizer as job
from pipeline import document
from pipeline.reports.tokenizer import TokenizerReport, read_report
from pipeline.spark import tables
from pipeline.spark import tokenizer as stage
from pipeline.spark.pack import pack
from pipeline.spark.tokenizer import train_tokenizer

pytestmark = pytest.mark.spark

WORDS = ["stone", "wheel", "Mühle", "grain", "flour", "sack", "miller", "river", "dust", "水車", "rope"]


def _rows(count: int) -> list[dict[str, object]]:
    random = np.random.default_rng(3)
    return [
        {
            "id": document.document_id("file", number),
            "text": f"{number} " + " ".join(random.choice(WORDS, int(random.lognormal(3, 1)) + 1)),
            "source": ("books", "web")[number % 2],
            "language": (None, "en", "de")[number % 3],
        }
        for number in range(count)
    ]


def _corpus(spark: SparkSession, out: Path, count: int = 60) -> Path:
    table = spark.createDataFrame(pa.Table.from_pylist(_rows(count), schema=document.schema()))
    tables.write(table.repartition(2), f"{out}/documents")
    done = Manifest(
        stage="clean", fingerprint="", config={}, inputs=[], counts={"kept": count},
        files=tables.file_entries(spark, str(out), "documents"), facts={"corpus": "c0ffee"},
    )  # fmt: skip
    manifest.publish(str(out), done)
    return out


def _config(out: Path, **tokenizer: Any) -> Config:
    return Config(
        output=OutputConfig(path=str(out)),
        tokenizer=TokenizerConfig(**{"vocabulary_size": 330, **tokenizer}),
        pack=PackConfig(sequence_length=63, validation_share=0.2),
    )


@pytest.mark.parametrize(("kind", "size"), [("unigram", 312), ("byte-bpe", 305), ("char", 305)])
def test_every_kind_is_packed(spark: SparkSession, tmp_path: Path, kind: str, size: int) -> None:
    config = _config(_corpus(spark, tmp_path), kind=kind, vocabulary_size=size)
    made = train_tokenizer(spark, config)
    assert made.facts["kind"] == kind
    pack(spark, config)
    shards, tokenizer = Shards.open(f"{tmp_path}/shards"), load_published(f"{tmp_path}/tokenizer")
    assert shards.facts.tokenizer_sha256 == tokenizer.sha256 == made.facts["sha256"]
    texts = [str(row["text"]) for row in _rows(60)]
    assert shards.manifest.counts["bytes"] == sum(len(text.encode()) for text in texts)
    assert shards.manifest.counts["tokens"] == sum(len(tokenizer.encode(text)) + 2 for text in texts)


def test_existing_tokenizer_is_published_with_its_origin(spark: SparkSession, tmp_path: Path) -> None:
    source = tmp_path / "source"
    texts = [str(row["text"]) for row in _rows(60)]
    train(texts, TokenizerConfig(kind="byte-bpe", vocabulary_size=300)).write(str(source))
    definition = json.loads((source / "tokenizer.json").read_text()) | {"post_processor": None}
    (source / "tokenizer.json").write_text(json.dumps(definition))
    (source / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    config = _config(_corpus(spark, tmp_path / "run"), path=str(source))
    made = train_tokenizer(spark, config)
    assert (made.inputs[1:], made.facts["kind"]) == ([str(source)], "tokenizer.json")
    found = load_published(f"{tmp_path}/run/tokenizer")
    assert (found.bos, found.eos, found.pad) == (None, 2, 2)
    report = read_report(f"{tmp_path}/run/tokenizer")
    assert report.held_out
    assert report.tokenizers[0].total.documents == 60
    pack(spark, config)
    shards = Shards.open(f"{tmp_path}/run/shards")
    assert shards.facts.bos is None
    lengths = [len(found.encode(str(row["text"]))) + 1 for row in _rows(60)]
    assert shards.manifest.counts["tokens"] == sum(lengths)
    definition["model"]["merges"].pop()
    (source / "tokenizer.json").write_text(json.dumps(definition))
    with pytest.raises(OutputError, match="a finished tokenizer of another configuration or input"):
        train_tokenizer(spark, config)


def test_another_tokenizer_is_measured_beside_it(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _corpus(spark, tmp_path / "other")
    train_tokenizer(spark, _config(other, kind="char"))
    out = _corpus(spark, tmp_path / "run")
    job.main(
        ["--set", f"output.path={out}", "--set", "tokenizer.vocabulary_size=330",
         "--set", f"tokenizer.compare={other}"]
    )  # fmt: skip
    report = read_report(f"{out}/tokenizer")
    assert [each.name for each in report.tokenizers] == ["bpe", str(other)]
    assert report.tokenizers[0].total.words == report.tokenizers[1].total.words
    assert report.tokenizers[0].total.tokens < report.tokenizers[1].total.tokens
    assert "bpe: " in (printed := capsys.readouterr().out)
    assert "(60 documents of the training sample)" in printed


def test_documents_are_held_out_of_training(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "HELD_OUT_FROM", 50)
    monkeypatch.setattr(stage, "HELD_OUT", 0.2)
    learned: list[str] = []

    def spy(texts: Any, settings: TokenizerConfig) -> Any:
        learned.extend(texts)
        return train(learned, settings)

    monkeypatch.setattr(stage, "train", spy)
    train_tokenizer(spark, _config(_corpus(spark, tmp_path, 100)))
    report = read_report(f"{tmp_path}/tokenizer")
    assert isinstance(report, TokenizerReport) and report.held_out
    (measured,) = report.tokenizers
    assert 8 < measured.total.documents < 40
    assert len(learned) + measured.total.documents == 100
    assert measured.round_trip_failures == []
    assert set(measured.sources) == {"books", "web"}
    assert set(measured.languages) == {"und", "en", "de"}


def test_failures_leave_nothing_behind(spark: SparkSession, tmp_path: Path) -> None:
    out = _corpus(spark, tmp_path / "run")
    with pytest.raises(InputError, match="supports only"):
        train_tokenizer(spark, _config(out, vocabulary_size=9000))
    for path in ("path", "compare"):
        with pytest.raises(InputError, match="no tokenizer; name a"):
            train_tokenizer(spark, _config(out, **{path: str(tmp_path)}))
        with pytest.raises(InputError, match="no tokenizer; name a"):
            job.main(["--set", f"output.path={out}", "--set", f"tokenizer.{path}={tmp_path}", "--dry-run"])
    assert sorted(each.name for each in out.iterdir()) == ["documents", "manifest.json"]
    train_tokenizer(spark, _config(out))
    shutil.rmtree(out / "tokenizer")
