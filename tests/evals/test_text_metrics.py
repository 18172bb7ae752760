"""Compare each metric with the published example of its package."""

from pathlib import Path
from types import SimpleNamespace

import nltk
import pytest

from evals import text_metrics
from evals.statistics import Bootstrap, Metric

BOOTSTRAP = Bootstrap(resamples=200, seed=1)

# Example in sacrebleu's README.
OUTPUTS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]


def only(metrics: list[Metric]) -> Metric:
    (metric,) = metrics
    return metric


def test_bleu_matches_sacrebleu_readme() -> None:
    metrics, scores = text_metrics.bleu(OUTPUTS, REFERENCES, BOOTSTRAP)
    metric = only(metrics)
    assert round(metric.value, 2) == 48.53
    assert metric.n == 3
    assert metric.standard_error is not None and metric.low < metric.value < metric.high
    for part in ("nrefs:2", "tok:13a", "seed:", "bs:200", "version:"):
        assert part in metric.method
    assert scores["BLEU"][0] == pytest.approx(100)


def test_chrf_matches_sacrebleu_readme() -> None:
    metrics, scores = text_metrics.chrf(OUTPUTS, REFERENCES, BOOTSTRAP)
    assert round(only(metrics).value, 2) == 59.73
    assert only(metrics).name == "chrF2"
    assert len(scores["chrF2"]) == 3


def test_single_sentence_has_no_interval() -> None:
    metric = only(text_metrics.bleu(OUTPUTS[:1], REFERENCES[:1], BOOTSTRAP)[0])
    assert (metric.value, metric.standard_error, metric.low, metric.high) == (
        pytest.approx(100),
        None,
        metric.value,
        metric.value,
    )
    assert "bs:" not in metric.method


def test_scores_without_any_match_are_zero_with_zero_error() -> None:
    for measure in (text_metrics.bleu, text_metrics.chrf):
        metric = only(measure(["", ""], [["a"], ["b"]], BOOTSTRAP)[0])
        assert (metric.value, metric.standard_error, metric.low, metric.high) == (0, 0, 0, 0)


def test_rouge_matches_rouge_score_readme() -> None:
    metrics, _ = text_metrics.rouge(
        ["The quick brown dog jumps on the log."],
        [["The quick brown fox jumps over the lazy dog"]],
        stemmer=True,
    )
    found = {metric.name: round(metric.value, 5) for metric in metrics}
    assert found == {"ROUGE-1": 0.70588, "ROUGE-2": 0.26667, "ROUGE-L": 0.58824}
    assert all("Porter stemmer" in metric.method for metric in metrics)


def test_rouge_uses_best_reference() -> None:
    _, scores = text_metrics.rouge(["a mill"], [["no such thing", "a mill"]], stemmer=False)
    assert scores["ROUGE-1"] == [1.0]


def test_meteor_matches_nltk_documentation() -> None:
    output = "It is a guide to action which ensures that the military always obeys the commands of the party"
    references = [
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of "
        "the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    ]
    words = [each.split() for each in references]
    assert round(text_metrics.sentence_meteor(output.split(), words, synonyms=False), 4) == 0.6944
    metrics, scores = text_metrics.meteor([output], [references])
    variant = "exact+stem+WordNet" if text_metrics.has_wordnet() else "exact+stem"
    assert only(metrics).name == f"METEOR ({variant})"
    assert scores[only(metrics).name][0] == pytest.approx(0.6944, abs=5e-5)
    assert (
        text_metrics.sentence_meteor("non matching hypothesis".split(), ["this is a cat".split()], False) == 0
    )


class Synonyms:
    """The part of WordNet's interface that METEOR uses, with one synset of the given words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def synsets(self, word: str) -> list["Synonyms"]:
        return [self] if word in self.words else []

    def lemmas(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=lambda word=word: word) for word in self.words]


@pytest.mark.parametrize("installed", [False, True])
def test_synonyms_are_used_only_if_metric_name_says_so(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setattr(text_metrics, "has_wordnet", lambda: installed)
    monkeypatch.setattr(text_metrics, "wordnet", Synonyms("car", "auto"))
    metric = only(text_metrics.meteor(["the car"], [["the auto"]])[0])
    assert metric.name == ("METEOR (exact+stem+WordNet)" if installed else "METEOR (exact+stem)")
    assert (metric.value > 0.9) == installed


def test_meteor_without_wordnet_has_no_synonyms() -> None:
    assert text_metrics.sentence_meteor(["car"], [["automobile"]], synonyms=False) == 0


def test_wordnet_is_detected_in_nltk_data_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert not text_metrics.has_wordnet()
    (tmp_path / "corpora" / "wordnet").mkdir(parents=True)
    assert text_metrics.has_wordnet()
