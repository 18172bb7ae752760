"""Shipped suites on the real data sets that they are written for."""

import pytest

from evals import tasks
from evals.context import EvalContext
from evals.items import read_items
from evals.suite import GenerationSuite, MultipleChoiceSuite, PerplexitySuite, load_suite, render
from evals.text_metrics import rouge
from tests.commands import REAL_DATA

DATA = REAL_DATA
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data beside the repository")


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
def test_all_items_are_accepted(context: EvalContext, suite: str, paths: dict[str, str], count: int) -> None:
    named = load_suite(suite)
    items, files = read_items(named, {name: str(DATA / path) for name, path in paths.items()})
    assert len(items) == count and {file.rows for file in files} == {count}
    config = context.config.model_copy(update={"limit": 50})
    assert callable(tasks.prepare(named, items, EvalContext(context.loaded, config)))
    assert isinstance(named.suite, (MultipleChoiceSuite, PerplexitySuite)) or items[0].fields.keys() == {
        field for file in named.suite.files for field in file.fields
    }


def test_wikisplit_references_omit_the_separator() -> None:
    named = load_suite("wikisplit")
    items, _ = read_items(named, {"wikisplit": str(DATA / "eval" / "wikisplit_tune.tsv")})
    assert isinstance(named.suite, GenerationSuite)
    references = [[render(named.suite.references[0], item.fields)] for item in items]
    assert not any("::" in reference for (reference,) in references)
    metrics, _ = rouge([str(item.fields["long"]) for item in items[:200]], references[:200], stemmer=True)
    found = {metric.name: metric.value for metric in metrics}
    assert 0.8 < found["ROUGE-L"] < found["ROUGE-1"] < 1
