"""How near generated text comes to references: BLEU, chrF, ROUGE, METEOR, each by its reference package."""

import contextlib
import json
from collections.abc import Sequence
from importlib.metadata import version

import nltk
from nltk.corpus import wordnet
from nltk.stem.porter import PorterStemmer
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evals.statistics import Bootstrap, Metric, mean

ROUGE = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
Scores = dict[str, list[float]]
"""One number per item, by the column's name."""


class _NoSynonyms:
    """A WordNet without words: METEOR then matches exactly and by stem."""

    def synsets(self, _: str) -> list[object]:
        """None."""
        return []


def bleu(
    outputs: Sequence[str], references: Sequence[Sequence[str]], bootstrap: Bootstrap, tokenize: str = "13a"
) -> tuple[list[Metric], Scores]:
    """Corpus BLEU (Papineni et al. 2002) by sacrebleu (Post 2018), 0 to 100, and each sentence's.

    ``references[i]`` are those of ``outputs[i]``, equally many for each.
    """
    corpus, sentence = BLEU(tokenize=tokenize), BLEU(tokenize=tokenize, effective_order=True)
    return _sacrebleu("BLEU", corpus, sentence, outputs, references, bootstrap)


def chrf(
    outputs: Sequence[str], references: Sequence[Sequence[str]], bootstrap: Bootstrap
) -> tuple[list[Metric], Scores]:
    """chrF2, the character n-gram F-score (Popović 2015), by sacrebleu, 0 to 100, and each sentence's."""
    return _sacrebleu("chrF2", CHRF(), CHRF(), outputs, references, bootstrap)


def _sacrebleu(
    name: str,
    corpus: BLEU | CHRF,
    sentence: BLEU | CHRF,
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    bootstrap: Bootstrap,
) -> tuple[list[Metric], Scores]:
    """The interval is sacrebleu's own: mean and half width over its resamples, its seed in the signature."""
    turned = [list(column) for column in zip(*references, strict=True)]
    resamples = bootstrap.resamples if len(outputs) > 1 else 1
    score = corpus.corpus_score(outputs, turned, n_bootstrap=resamples)
    signature = str(corpus.get_signature())
    value = float(score.score)
    error, low, high = None, value, value
    if resamples > 1:
        told = json.loads(score.format(width=6, signature=signature, is_json=True))
        # Where nothing matches in any resample, sacrebleu says nothing of them.
        middle, half = float(told.get("confidence_mean", value)), float(told.get("confidence_var", 0))
        error, low, high = half / 1.96, middle - half, middle + half
    metric = Metric(name, value, len(outputs), error, low, high, f"sacrebleu {signature}")
    each = [
        float(sentence.sentence_score(output, list(own)).score)
        for output, own in zip(outputs, references, strict=True)
    ]
    return [metric], {name: each}


def rouge(
    outputs: Sequence[str], references: Sequence[Sequence[str]], stemmer: bool
) -> tuple[list[Metric], Scores]:
    """F-measures of ROUGE-1, -2 and -L (Lin 2004) by rouge-score, 0 to 1; the best of several references.

    The package's own tokenizer knows the letters a to z and digits only: other scripts score nothing.
    """
    scorer = RougeScorer(list(ROUGE), use_stemmer=stemmer)
    found = [scorer.score_multi(own, output) for output, own in zip(outputs, references, strict=True)]
    scores = {title: [float(each[key].fmeasure) for each in found] for key, title in ROUGE.items()}
    stemmed = "Porter stemmer" if stemmer else "no stemmer"
    method = f"F-measure by rouge-score {version('rouge-score')}, {stemmed}, words of a-z and 0-9"
    return [mean(title, values, method) for title, values in scores.items()], scores


def meteor(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[Metric], Scores]:
    """METEOR (Lavie and Agarwal 2007) by nltk, 0 to 1; the best of several references.

    Its name says what words were matched by: always exactly and by Porter's stem, and by WordNet's synonyms
    only if nltk's WordNet data is installed.
    """
    synonyms = has_wordnet()
    name = f"METEOR ({'exact+stem+WordNet' if synonyms else 'exact+stem'})"
    values = [
        meteor_of(wordpunct_tokenize(output), [wordpunct_tokenize(each) for each in own], synonyms)
        for output, own in zip(outputs, references, strict=True)
    ]
    method = f"nltk {version('nltk')}, lower-cased words and signs"
    return [mean(name, values, method)], {name: values}


def meteor_of(output: Sequence[str], references: Sequence[Sequence[str]], synonyms: bool) -> float:
    """One item's METEOR, of words."""
    known = wordnet if synonyms else _NoSynonyms()
    return float(meteor_score(references, output, stemmer=PorterStemmer(), wordnet=known))


def has_wordnet() -> bool:
    """Whether nltk finds WordNet's data on this machine."""
    for place in ("corpora/wordnet", "corpora/wordnet.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(place)
            return True
    return False
