"""Measurements of tokenizers."""

import pytest

from core.config import TokenizerConfig
from core.tokenizer import Tokenizer, train
from pipeline.analysis import analyse
from pipeline.reports.tokenizer import Encoded, SampleDocument, TokenizerReport, measure, summary, warnings

TEXTS = {
    ("wiki", "en"): "The mill turns, and the miller sleeps. " * 3,
    ("web", "en"): "Grain becomes flour by the river.",
    ("web", "de"): "Die Mühle dreht sich über dem Fluss.",
    ("web", "und"): "",
}
DOCUMENTS = [
    SampleDocument(f"{number:032x}", source, language, text)
    for number, ((source, language), text) in enumerate(TEXTS.items())
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(TEXTS.values(), TokenizerConfig(kind="byte-bpe", vocabulary_size=300))


def test_sums_are_those_of_the_texts(tokenizer: Tokenizer) -> None:
    found = measure("ours", tokenizer, DOCUMENTS)
    for (source, language), text in TEXTS.items():
        assert text == "" or found.languages[language].bytes >= len(text.encode()), source
    german = TEXTS["web", "de"]
    assert found.languages["de"].model_dump() == {
        "documents": 1,
        "bytes": len(german) + 2,
        "words": len(analyse(german).words),
        "tokens": len(tokenizer.encode(german)),
        "bytes_per_token": round((len(german) + 2) / len(tokenizer.encode(german)), 4),
        "fertility": round(len(tokenizer.encode(german)) / len(analyse(german).words), 4),
    }
    assert found.languages["und"].model_dump()["bytes_per_token"] == 0
    assert sum(found.sources.values(), Encoded()) == found.total
    assert sum(found.languages.values(), Encoded()) == found.total
    assert list(found.languages) == ["en", "de", "und"]
    used = {token for text in TEXTS.values() for token in tokenizer.encode(text)}
    assert found.unused == 300 - 8 - len(used)
    assert found.round_trip_failures == []


def test_texts_that_are_not_kept_are_reported(tokenizer: Tokenizer) -> None:
    class Lossy:
        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def decode(self, ids: object) -> str:
            return str(tokenizer.decode(ids)).replace("ü", "u")  # type: ignore[arg-type]  # a test double

    found = measure("lossy", Lossy(), DOCUMENTS)  # type: ignore[arg-type]  # a test double
    assert found.round_trip_failures == [DOCUMENTS[2].id]
    report = TokenizerReport(held_out=True, tokenizers=[measure("ours", tokenizer, DOCUMENTS), found])
    assert len(list(summary(report))) == 2
    assert list(warnings(report)) == [
        f"lossy does not keep the text of 1 of 4 documents, such as {DOCUMENTS[2].id}"
    ]
    assert TokenizerReport.model_validate_json(report.model_dump_json()) == report
