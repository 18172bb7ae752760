import gzip
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.toxicity import sets
from pipeline.training.toxicity.sources import HELD_OUT_FRACTION, is_held_out, training_rows


def test_templates_are_filled_and_reproducible() -> None:
    rows = list(sets.filled_templates(random.Random(1)))
    assert rows == list(sets.filled_templates(random.Random(1)))
    assert not any("{" in text for text, _ in rows)
    assert 0.3 < sum(toxic for _, toxic in rows) / len(rows) < 0.7
    assert ("I hate women.", True) in rows and ("I love women.", False) in rows


@given(st.text("abcde fgh", max_size=40), st.integers(0, 9))
def test_obfuscation_changes_at_most_one_word(text: str, seed: int) -> None:
    before, after = text.split(), sets.obfuscate(text, random.Random(seed)).split()
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1


def test_listed_words_are_inserted_into_sentences(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("Die Stadt liegt am Rhein.\nDas Museum ist offen.\n", encoding="utf-8")
    (tmp_path / "xx.txt").write_text("No words are listed for this one.\n", encoding="utf-8")
    rows = list(sets.with_listed_words(tmp_path, random.Random(1)))
    words = set(sets.offensive_words()["de"])
    assert [text for text, toxic in rows if not toxic] == [
        "Die Stadt liegt am Rhein.",
        "Das Museum ist offen.",
        "No words are listed for this one.",
    ]
    assert all(words & set(text.split()) for text, toxic in rows if toxic)


def test_sets_have_a_line_of_input_per_passage(tmp_path: Path) -> None:
    sets.write_set(tmp_path / "set.tsv.gz", [("I hate women", True), ("", False), ("word " * 60, False)])
    header, *lines = gzip.decompress((tmp_path / "set.tsv.gz").read_bytes()).decode().splitlines()
    assert header == "text\tlabel"
    assert [line.split("\t")[1] for line in lines] == ["1", "0", "0"]
    assert lines[0].startswith("i hate women ᛝ")


def test_texts_with_a_training_passage_are_not_held_out() -> None:
    rows = [(f"text number {number}", bool(number % 2)) for number in range(2000)]
    held_out = [text for text, _ in rows if is_held_out(text)]
    assert len(training_rows(rows)) + len(held_out) == len(rows)
    assert abs(len(held_out) / len(rows) - HELD_OUT_FRACTION) < 0.02
