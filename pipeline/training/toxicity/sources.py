"""Source data of the toxicity classifier: labelled sets and clean text."""

from collections.abc import Iterable
from pathlib import Path

from core.config import LabelledSetConfig
from core.resources import read_toml
from pipeline.filters.classifier.model import prepare
from pipeline.filters.classifier.training import Example, hold_out, read_rows
from pipeline.filters.toxicity.scoring import passages
from pipeline.training import texts

Row = tuple[str, bool]
"""A text as its authors wrote it; True if it is toxic."""

TITLES = {
    "davidson": "Davidson 2017",
    "germeval": "GermEval 2018",
    "told-br": "ToLD-BR",
    "korean": "Korean hate speech",
}
"""Labelled sets used for training: title in ``configs/toxicity.toml`` by file name."""
HELD_OUT_FRACTION = 0.1
"""Fraction of the passages that is held out; ``configs/toxicity.toml`` uses the same."""


def labelled_sets(folder: Path) -> dict[str, list[Row]]:
    """Read the sets that ``data/sources.toml`` lists, by name."""
    entries = read_toml("pipeline.training.toxicity", "data/sources.toml")["sets"]
    return {entry["name"]: read_rows(str(folder), LabelledSetConfig(**entry)) for entry in entries}


def clean_texts(data: Path) -> dict[str, list[str]]:
    """Return passages to train on as harmless, by source.

    Every other book, half of the Wikipedia passages, and the pages of one of two sets. The rest is for
    measuring false positives.
    """
    books = [path for code in ("en", "fr", "de") for path in sorted((data / "books" / code).iterdir())[::2]]
    paths = {
        "wiki": [data / "wiki/enwiki-shortened.xml.bz2"],
        "books": books,
        "web": [data / "warc/pages-mixed.warc.gz"],
    }
    found = {
        name: [text for path in each for text in texts.passages(str(path))] for name, each in paths.items()
    }
    return found | {"wiki": found["wiki"][: len(found["wiki"]) // 2]}


def training_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that are trained on, at least in part."""
    return [row for row in rows if not is_held_out(row[0])]


def is_held_out(text: str) -> bool:
    """True if every passage of the text is held out from training."""
    examples = [Example(prepare(" ".join(each.tokens)), False) for each in passages(text)]
    return not hold_out(examples, HELD_OUT_FRACTION)[0]
