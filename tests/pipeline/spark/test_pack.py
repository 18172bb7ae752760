import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from core import manifest
from core.config import Config, OutputConfig, PackConfig, TokenizerConfig
from core.errors import ConfigError, InputError, OutputError
from core.manifest import Manifest
from core.shards import Header, Shards
from core.shards.packing import METHOD, repetitions, split_of
from core.tokenizer import load_published
from jobs import pack as job
from pipeline import document
from pipeline.spark import documents, tables
from pipeline.spark.pack import pack, write_groups
from pipeline.spark.tokenizer import sample, train_tokenizer

pytestmark = pytest.mark.spark

WORDS = [
    "stone",
    "wheel",
    "water",
    "grain",
    "flour",
    "sack",
    "miller",
    "river",
    "dust",
    "gear",
    "rope",
    "sieve",
]
SOURCES = ("books", "my wiki/2", "2024")


def _rows() -> list[dict[str, object]]:
    random = np.random.default_rng(7)
    rows = []
    for number in range(150):
        text = " ".join(random.choice(WORDS, int(random.lognormal(3.5, 1.2)) + 1)) + "\n"
        cluster = document.document_id("file", number - number % 2)
        source = SOURCES[0 if number % 5 else number % 3]
        rows.append(
            {
                "id": document.document_id("file", number),
                "text": text,
                "source": source,
                "language": (None, "en", "de")[number % 3],
                "cluster": cluster,
                "cluster_size": 1 + number % 7,
            }
        )
    return rows


ROWS = _rows()


def _config(out: Path, **settings: object) -> Config:
    return Config(
        output=OutputConfig(path=str(out)),
        tokenizer=TokenizerConfig(vocabulary_size=320, sample_characters=20_000),
        pack=PackConfig(sequence_length=31, validation_share=0.2, shard_sequences=250).model_copy(
            update=settings
        ),
    )


def _publish(spark: SparkSession, out: Path, partitions: int) -> None:
    table = spark.createDataFrame(pa.Table.from_pylist(ROWS, schema=document.schema()))
    tables.write(table.repartition(partitions), f"{out}/documents")
    done = Manifest(
        stage="clean", fingerprint="", config={}, inputs=[], counts={"kept": len(ROWS)},
        files=tables.file_entries(spark, str(out), "documents"), facts={"corpus": "c0ffee"},
    )  # fmt: skip
    manifest.publish(str(out), done)


def _hashes(out: Path) -> dict[str, str]:
    files = [*(out / "tokenizer").rglob("*.*"), *(out / "shards").rglob("*.*")]
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.name != "run.json"  # how long it took
    }


@pytest.fixture(scope="module")
def runs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same documents in 1, 3 and 50 partitions, tokenized and packed."""
    made = {}
    for partitions in (1, 3, 50):
        out = made[partitions] = tmp_path_factory.mktemp("run")
        _publish(spark, out, partitions)
        train_tokenizer(spark, _config(out))
        pack(spark, _config(out))
    return made


def test_output_does_not_depend_on_partitions(runs: dict[int, Path]) -> None:
    first, second, third = (_hashes(out) for out in runs.values())
    assert first == second == third
    assert "shards/manifest.json" in first
    assert not any("work" in path for path in first)


def test_documents_that_stand_for_several_are_repeated(spark: SparkSession, tmp_path: Path) -> None:
    counts = {}
    for rehydrate in (False, True):
        out = tmp_path / str(rehydrate)
        _publish(spark, out, 2)
        train_tokenizer(spark, _config(out))
        pack(spark, _config(out, rehydrate=rehydrate))
        shards = Shards.open(f"{out}/shards")
        counts[rehydrate] = {
            split: sum(totals.documents for totals in shards.facts.sources[split].values())
            for split in ("train", "validation")
        }
    sizes = {"train": 0, "validation": 0}
    for row in ROWS:
        split = split_of(row["cluster"], 0.2)
        sizes[split] += repetitions(row["cluster_size"]) if split == "train" else 1
    assert counts[True] == sizes
    assert counts[False]["train"] < counts[True]["train"]


def test_every_document_is_in_the_split_of_its_cluster(runs: dict[int, Path]) -> None:
    shards, tokenizer = Shards.open(f"{runs[3]}/shards"), load_published(f"{runs[3]}/tokenizer")
    found: dict[tuple[str, str, str], list[tuple[int, list[int]]]] = {}
    for split in ("train", "validation"):
        for source in shards.facts.sources[split]:
            tokens, spans = shards.read(split, source, np.arange(shards.rows(split, source)))
            for row in range(len(tokens)):
                for span in range(spans.bounds[row], spans.bounds[row + 1]):
                    start, length = spans.start[span], spans.length[span]
                    key = (split, source, spans.document_id[span].tobytes().hex())
                    part = (int(spans.offset[span]), tokens[row, start : start + length].tolist())
                    found.setdefault(key, []).append(part)
    texts = {
        key: tokenizer.decode([token for _, part in sorted(parts) for token in part])
        for key, parts in found.items()
    }
    expected = {(split_of(row["cluster"], 0.2), row["source"], row["id"]): row["text"] for row in ROWS}
    assert texts == expected
    assert shards.facts.corpus == "c0ffee"
    assert shards.manifest.counts["documents"] == len(ROWS)
    assert shards.manifest.counts["bytes"] == sum(len(row["text"].encode()) for row in ROWS)


@pytest.mark.parametrize("method", ["best-fit-decreasing", "concatenate", "one-per-row"])
def test_token_ledger_adds_up(
    spark: SparkSession,
    runs: dict[int, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
) -> None:
    shutil.copytree(runs[1], tmp_path / "out", ignore=shutil.ignore_patterns("shards"))
    made = pack(spark, _config(tmp_path / "out", method=method, rehydrate=True))
    shards, tokenizer = Shards.open(f"{tmp_path}/out/shards"), load_published(f"{runs[1]}/tokenizer")
    expected: dict[tuple[str, str, str], list[int]] = {}
    for row in ROWS:
        split, tokens = split_of(row["cluster"], 0.2), 2 + len(tokenizer.encode(row["text"]))
        times = repetitions(row["cluster_size"]) if split == "train" else 1
        counts = expected.setdefault((split, row["source"], row["language"] or "und"), [0, 0, 0])
        counts[0] += times
        counts[1] += times * tokens
        counts[2] += times * max(0, tokens - 32) * (method == "one-per-row")
    found = {
        (split, source, code): list(counts.model_dump().values())
        for split, sources in shards.facts.languages.items()
        for source, languages in sources.items()
        for code, counts in languages.items()
    }
    assert found == expected
    kept = sum(encoded - cropped for _, encoded, cropped in expected.values())
    assert made.counts["tokens"] == kept
    for split, source in shards.groups:
        rows, spans = shards.read(split, source, np.arange(shards.rows(split, source)))
        in_rows = sum(
            encoded - cropped for key, (_, encoded, cropped) in expected.items() if key[:2] == (split, source)
        )
        assert int(spans.length.sum()) == in_rows
        assert rows.size - in_rows == int((rows == tokenizer.pad).sum())
    capsys.readouterr()
    job.show(made)
    assert capsys.readouterr().out.count(" cropped; ") == len(shards.groups)


def test_number_of_files_follows_from_the_tokens(runs: dict[int, Path]) -> None:
    assert [entry.path for entry in manifest.read(f"{runs[1]}/shards", "pack").files] == [
        "train/2024/part-00000.arrow",
        "train/books/part-00000.arrow",
        "train/books/part-00001.arrow",
        "train/my%20wiki%2F2/part-00000.arrow",
        "validation/books/part-00000.arrow",
    ]


def test_large_group_is_written_to_several_files(tmp_path: Path) -> None:
    header = Header(
        sequence_length=9, vocabulary_size=50, bos=1, eos=2, pad=3, tokenizer_sha256="", packing=METHOD,
        corpus="",
    )  # fmt: skip
    ids = [bytes([number]) * 16 for number in range(25)]
    tokens = [np.full(10, number, np.uint16).tobytes() for number in range(25)]
    columns = {"group": [0] * 25, "document_id": ids, "copy": [0] * 25, "tokens": tokens}
    batch = pa.record_batch(columns)
    group, lengths = ("train", "web", 7), np.ones(50, np.int32)
    made = write_groups([batch], [group], str(tmp_path), header, 10, lengths, np.zeros_like)
    rows = [row for batch in made for row in batch.to_pylist()]
    assert [(row["path"].rpartition("/")[2], row["rows"]) for row in rows] == [
        ("part-00007.arrow", 10),
        ("part-00007_001.arrow", 10),
        ("part-00007_002.arrow", 5),
    ]
    assert sum(row["documents"] for row in rows) == 25


def test_rerun_does_nothing(
    runs: dict[int, Path], spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _hashes(runs[1])
    train_tokenizer(spark, _config(runs[1]))
    pack(spark, _config(runs[1]))
    assert capsys.readouterr().out == "tokenizer: already done\npack: already done\n"
    assert _hashes(runs[1]) == before
    with pytest.raises(OutputError, match="a finished pack of another configuration"):
        pack(spark, _config(runs[1], sequence_length=63))


def test_interrupted_run_resumes_from_the_tokens(
    runs: dict[int, Path],
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _publish(spark, tmp_path, 2)
    train_tokenizer(spark, _config(tmp_path))

    def interrupt(*_: object) -> Callable[..., None]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.spark.pack._plan_groups", interrupt)
        pack(spark, _config(tmp_path))
    # What a task that was killed, and one of another plan, may have left:
    for left in (
        "train/books/.part-00000.arrow.0123abcd",
        "train/books/part-00007.arrow",
        "train/x/part-1.arrow",
    ):
        (tmp_path / "shards" / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shards" / left).write_bytes(b"half")
    pack(spark, _config(tmp_path))
    assert "finished by an earlier attempt" in capsys.readouterr().out
    assert _hashes(tmp_path) == _hashes(runs[1])
    found = {
        str(path.relative_to(tmp_path / "shards")) for path in (tmp_path / "shards/train").rglob("*.arrow*")
    }
    listed = {entry.path for entry in manifest.read(str(tmp_path / "shards"), "pack").files}
    assert found == {path for path in listed if path.startswith("train/")}


def test_sample_is_bounded_and_reproducible(runs: dict[int, Path], spark: SparkSession) -> None:
    def drawn(partitions: int, characters: int, seed: int = 1) -> list[str]:
        table = documents.read(spark, str(runs[partitions]))
        return list(sample(table, TokenizerConfig(sample_characters=characters, seed=seed)))

    some = drawn(1, 3000)
    assert sum(map(len, some)) == 3000
    assert some == drawn(50, 3000)
    assert some != drawn(1, 3000, seed=2)
    assert sorted(drawn(3, 10**9)) == sorted(row["text"] for row in ROWS)


def test_sample_follows_the_weights(runs: dict[int, Path], spark: SparkSession) -> None:
    def drawn(partitions: int, characters: int, **weights: dict[str, float]) -> Counter[tuple[str, str]]:
        table = documents.read(spark, str(runs[partitions]))
        settings = TokenizerConfig(sample_characters=characters, **weights)
        groups = {row["text"]: (row["source"], row["language"] or "und") for row in ROWS}
        found: Counter[tuple[str, str]] = Counter()
        for text in sample(table, settings):
            found[next(group for whole, group in groups.items() if whole.startswith(text))] += len(text)
        return found

    total: Counter[tuple[str, str]] = Counter()
    for row in ROWS:
        total[row["source"], row["language"] or "und"] += len(row["text"])
    by_source = drawn(1, 4000, source_weights={"2024": 1, "my wiki/2": 1})
    assert by_source.total() == 4000 and {source for source, _ in by_source} == {"2024", "my wiki/2"}
    assert by_source == drawn(50, 4000, source_weights={"2024": 1, "my wiki/2": 1})
    by_language = drawn(3, 6000, language_weights={"de": 3, "en": 1})
    counts = [sum(n for (_, code), n in by_language.items() if code == each) for each in ("de", "en", "und")]
    assert 2 < counts[0] / counts[1] < 4.5 and counts[2] == 0
    everything = drawn(1, 10**9, language_weights={"de": 3, "en": 1})
    assert everything == Counter({key: count for key, count in total.items() if key[1] != "und"})
    with pytest.raises(ConfigError, match=r"tokenizer\.source_weights\.news: not in the corpus; use some of"):
        drawn(1, 100, source_weights={"news": 1.0})


def test_empty_corpus_is_rejected_before_anything_is_written(spark: SparkSession, tmp_path: Path) -> None:
    done = Manifest(stage="clean", fingerprint="", config={}, inputs=[], counts={"kept": 0}, files=[])
    manifest.publish(str(tmp_path), done)
    with pytest.raises(InputError, match="no document was kept"):
        train_tokenizer(spark, _config(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
