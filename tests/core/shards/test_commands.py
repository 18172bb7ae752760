"""``python -m core.shards`` on the shards of a small corpus."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config import TokenizerConfig
from core.errors import ConfigError, InputError, ManifestError, MismatchError, OutputError
from core.shards import STAGE, packing, publish, write_file
from core.shards.__main__ import main
from core.stage import Stage
from core.tokenizer import publish as publish_tokenizer
from core.tokenizer import train

TEXTS = [f"The mill number {number} grinds grain {'by the river ' * number}." for number in range(40)]
IDS = [f"{number:032x}" for number in range(len(TEXTS))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with documents, a tokenizer and shards."""
    out = tmp_path_factory.mktemp("run")
    settings = TokenizerConfig(vocabulary_size=300)
    tokenizer = train(iter(TEXTS * 5), settings)
    publish_tokenizer(tokenizer, Stage("tokenizer", str(out / "tokenizer")), {})
    header = packing.make_header(tokenizer, sequence_length=63, corpus="0" * 32)
    tokens = [np.array([tokenizer.bos, *tokenizer.encode(text), tokenizer.eos], np.uint16) for text in TEXTS]
    documents = [packing.Document(bytes.fromhex(key), each) for key, each in zip(IDS, tokens, strict=True)]
    files = [
        write_file(
            str(out / "shards"), split, "web", "00000", packing.pack(chosen, header), header,
            tokenizer.byte_lengths(),
        )
        for split, chosen in (("train", documents[:30]), ("validation", documents[30:]))
    ]  # fmt: skip
    publish(Stage(STAGE, str(out / "shards")), files, header)
    (out / "documents").mkdir()
    urls = [f"http://a.org/{number}" for number in range(len(TEXTS))]
    pq.write_table(pa.table({"id": IDS, "url": urls}), out / "documents" / "a.parquet")
    return out


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(each) for each in arguments])
    return capsys.readouterr().out


def test_summary_adds_up(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split() for line in printed(capsys, "inspect", run / "shards").splitlines()]
    totals = {row[0]: [int(each.replace(",", "")) for each in row[1:5]] for row in rows if row[-1][-1] == "%"}
    assert totals["all"] == [
        sum(pair) for pair in zip(totals["train/web"], totals["validation/web"], strict=True)
    ]
    assert totals["all"][3] == len(TEXTS)


def test_rows_show_documents_with_text_and_address(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for row in range(1000):
        try:
            shown += printed(capsys, "inspect", run / "shards", "--row", row, "--urls", "--whole")
        except InputError as error:
            assert f"whose rows are train/web {row}, validation/web" in str(error)
            break
    assert all(f"{key}  tokens" in shown and f"http://a.org/{int(key, 16)}\n" in shown for key in IDS[:30])
    assert all(text in shown for text in TEXTS[:2])
    assert TEXTS[35] not in shown


def test_document_is_found_in_its_rows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (29, 35):
        key = IDS[number]
        found = printed(capsys, "inspect", run / "shards", "--document", key).splitlines()
        url = f"http://a.org/{number}"
        assert printed(capsys, "inspect", run / "shards", "--document", url).splitlines() == found
        assert len(found) > 1
        for line in found:
            split, row = line.partition("/")[0], line.rpartition(" ")[2]
            assert key in printed(capsys, "inspect", run / "shards", "--split", split, "--row", row)
    assert printed(capsys, "inspect", run / "shards", "--document", "f" * 32) == ""
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        main(["inspect", str(run / "shards"), "--document", "xyz"])


def test_every_damage_is_found(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intact = run / "shards"
    assert "2 files" in printed(capsys, "verify", intact)
    assert printed(capsys, "diff", intact, intact) == "no differences\n"
    path = "train/web/part-00000.arrow"
    content = (intact / path).read_bytes()
    other = (intact / "validation/web/part-00000.arrow").read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for number, damaged in enumerate((flipped, content[:-1], None, other)):
        copy = tmp_path / str(number)
        shutil.copytree(intact, copy)
        (copy / path).unlink() if damaged is None else (copy / path).write_bytes(damaged)
        with pytest.raises(ManifestError, match=r"part-00000\.arrow"):
            main(["verify", str(copy)])


def test_compressed_shards_are_restored_byte_by_byte(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cold, again = tmp_path / "cold", tmp_path / "again"
    assert "2 files" in printed(capsys, "compress", run / "shards", cold)
    assert sorted(path.suffix for path in cold.rglob("part-*")) == [".zst", ".zst"]
    assert printed(capsys, "compress", run / "shards", cold) == "compressed_shards: already done\n"
    with pytest.raises(ManifestError, match="compressed_shards"):
        main(["verify", str(cold)])
    assert "2 files" in printed(capsys, "restore", cold, again)
    for path in (each for each in (run / "shards").rglob("*") if each.is_file()):
        assert (again / path.relative_to(run / "shards")).read_bytes() == path.read_bytes()
    (file,) = (cold / "train").rglob("*.zst")
    with pa.CompressedInputStream(str(file), "zstd") as stream:
        assert stream.read() == (run / "shards/train/web/part-00000.arrow").read_bytes()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=r"arrow\.zst: its SHA-256 differs"):
        main(["restore", str(cold), str(tmp_path / "third")])
    assert not (tmp_path / "third/manifest.json").exists()
    with pytest.raises(OutputError):
        main(["restore", str(cold), str(cold)])


def test_tokenizer_of_other_shards_is_refused(run: Path, tmp_path: Path) -> None:
    other = train(iter(TEXTS), TokenizerConfig(vocabulary_size=301))
    publish_tokenizer(other, Stage("tokenizer", str(tmp_path / "tokenizer")), {})
    with pytest.raises(MismatchError, match="packed with tokenizer"):
        main(["inspect", str(run / "shards"), "--row", "0", "--tokenizer", str(tmp_path / "tokenizer")])


def test_tokens_of_a_flat_file_are_packed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "train.bin: " in printed(capsys, "convert", run / "shards", tmp_path / "flat", "--to", "flat")
    options = ["--to", "shards", "--tokenizer", run / "tokenizer", "--sequence-length", 31]
    file, out = tmp_path / "flat" / "train.bin", tmp_path / "again"
    assert "again: 30 documents in" in printed(capsys, "convert", file, out, *options)
    assert printed(capsys, "convert", file, out, *options).startswith("pack: already done\n")
    assert "mill number" in printed(capsys, "inspect", out, "--row", 0, "--tokenizer", run / "tokenizer")
    with pytest.raises(InputError, match="no such file"):
        main(["convert", str(tmp_path / "none.bin"), str(out), *map(str, options)])
    with pytest.raises(ConfigError, match="--sequence-length 0: must be at least 8"):
        main(["convert", str(file), str(out), *map(str, options[:-1]), "0"])
    with pytest.raises(ConfigError, match="--tokenizer"):
        main(["convert", str(file), str(out), "--to", "shards"])
