"""The shipped suites on the real sets that they are made for: every item is understood."""

import pytest

from evals import tasks
from evals.context import Bench
from evals.items import read
from evals.suite import Generation, MultipleChoice, Perplexity, fill, find
from evals.text_metrics import rouge
from tests.commands import REAL_DATA

DATA = REAL_DATA
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real sets are not on this machine")


@pytest.mark.parametrize(
    ("suite", "paths", "count"),
    [
        ("piqa", {"piqa": "eval/piqa_valid.jsonl", "piqa.labels": "eval/piqa_valid-labels.lst"}, 1838),
        ("wikisplit", {"wikisplit": "eval/wikisplit_tune.tsv"}, 5000),
        (
            "translation-en-de",
            {
                "translation-en-de.source": "mt/multi30k/val.en.gz",
                "translation-en-de.target": "mt/multi30k/val.de.gz",
            },
            1014,
        ),
        ("text", {"text": "books/en/Aristotle_Poetics.md.gz"}, 1),
    ],
)
def test_every_item_is_sound(bench: Bench, suite: str, paths: dict[str, str], count: int) -> None:
    named = find(suite)
    items, files = read(named, {name: str(DATA / path) for name, path in paths.items()})
    assert len(items) == count and {file.rows for file in files} == {count}
    small = bench.settings.model_copy(update={"limit": 50})
    assert callable(tasks.prepare(named, items, Bench(bench.loaded, small)))
    assert isinstance(named.suite, (MultipleChoice, Perplexity)) or items[0].fields.keys() == {
        field for file in named.suite.files for field in file.fields
    }


def test_references_of_wikisplit_are_two_sentences_of_the_same_words() -> None:
    """What stands between the two in the file is no part of the reference."""
    named = find("wikisplit")
    items, _ = read(named, {"wikisplit": str(DATA / "eval" / "wikisplit_tune.tsv")})
    assert isinstance(named.suite, Generation)
    references = [[fill(named.suite.references[0], item.fields)] for item in items]
    assert not any("::" in reference for (reference,) in references)
    metrics, _ = rouge([str(item.fields["long"]) for item in items[:200]], references[:200], stemmer=True)
    found = {metric.name: metric.value for metric in metrics}
    assert 0.8 < found["ROUGE-L"] < found["ROUGE-1"] < 1
