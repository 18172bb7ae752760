"""Compare generated text with references: BLEU, chrF, ROUGE and METEOR, each by an established package."""

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
"""One score per item, by metric name."""


class _NoSynonyms:
    """An empty WordNet, which limits METEOR to exact and stem matches."""

    def synsets(self, _: str) -> list[object]:
        """Return no synonyms."""
        return []


def bleu(
    outputs: Sequence[str], references: Sequence[Sequence[str]], bootstrap: Bootstrap, tokenize: str = "13a"
) -> tuple[list[Metric], Scores]:
    """Return corpus and sentence BLEU (Papineni et al. 2002) by sacrebleu (Post 2018), 0 to 100.

    ``references[i]`` are the references of ``outputs[i]``, the same number for each.
    """
    corpus, sentence = BLEU(tokenize=tokenize), BLEU(tokenize=tokenize, effective_order=True)
    return _sacrebleu("BLEU", corpus, sentence, outputs, references, bootstrap)


def chrf(
    outputs: Sequence[str], references: Sequence[Sequence[str]], bootstrap: Bootstrap
) -> tuple[list[Metric], Scores]:
    """Return corpus and sentence chrF2 (character n-grams, Popović 2015) by sacrebleu, 0 to 100."""
    return _sacrebleu("chrF2", CHRF(), CHRF(), outputs, references, bootstrap)


def _sacrebleu(
    name: str,
    corpus: BLEU | CHRF,
    sentence: BLEU | CHRF,
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    bootstrap: Bootstrap,
) -> tuple[list[Metric], Scores]:
    """Score with sacrebleu, including its own bootstrap interval, whose seed is in the signature."""
    transposed = [list(column) for column in zip(*references, strict=True)]
    resamples = bootstrap.resamples if len(outputs) > 1 else 1
    score = corpus.corpus_score(outputs, transposed, n_bootstrap=resamples)
    signature = str(corpus.get_signature())
    value = float(score.score)
    error, low, high = None, value, value
    if resamples > 1:
        fields = json.loads(score.format(width=6, signature=signature, is_json=True))
        # sacrebleu omits the interval if nothing matches in any resample.
        center, half = float(fields.get("confidence_mean", value)), float(fields.get("confidence_var", 0))
        error, low, high = half / 1.96, center - half, center + half
    metric = Metric(name, value, len(outputs), error, low, high, f"sacrebleu {signature}")
    scores = [
        float(sentence.sentence_score(output, list(own_references)).score)
        for output, own_references in zip(outputs, references, strict=True)
    ]
    return [metric], {name: scores}


def rouge(
    outputs: Sequence[str], references: Sequence[Sequence[str]], stemmer: bool
) -> tuple[list[Metric], Scores]:
    """Return F-measures of ROUGE-1, -2 and -L (Lin 2004) by rouge-score, 0 to 1; the best reference counts.

    The package's tokenizer keeps only the letters a to z and digits: text in other scripts scores 0.
    """
    scorer = RougeScorer(list(ROUGE), use_stemmer=stemmer)
    results = [
        scorer.score_multi(own_references, output)
        for output, own_references in zip(outputs, references, strict=True)
    ]
    scores = {title: [float(each[key].fmeasure) for each in results] for key, title in ROUGE.items()}
    stemming = "Porter stemmer" if stemmer else "no stemmer"
    method = f"F-measure by rouge-score {version('rouge-score')}, {stemming}, words of a-z and 0-9"
    return [mean(title, values, method) for title, values in scores.items()], scores


def meteor(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[Metric], Scores]:
    """Return METEOR (Lavie and Agarwal 2007) by nltk, 0 to 1; the best reference counts.

    The metric's name lists how words were matched: always exactly and by Porter stem, and by WordNet synonyms
    if nltk's WordNet data is installed.
    """
    synonyms = has_wordnet()
    name = f"METEOR ({'exact+stem+WordNet' if synonyms else 'exact+stem'})"
    values = [
        sentence_meteor(
            wordpunct_tokenize(output), [wordpunct_tokenize(each) for each in own_references], synonyms
        )
        for output, own_references in zip(outputs, references, strict=True)
    ]
    method = f"nltk {version('nltk')}, lowercased words and punctuation"
    return [mean(name, values, method)], {name: values}


def sentence_meteor(output: Sequence[str], references: Sequence[Sequence[str]], synonyms: bool) -> float:
    """Return METEOR of one output, given as words."""
    lexicon = wordnet if synonyms else _NoSynonyms()
    return float(meteor_score(references, output, stemmer=PorterStemmer(), wordnet=lexicon))


def has_wordnet() -> bool:
    """True if nltk finds WordNet's data on this machine."""
    for path in ("corpora/wordnet", "corpora/wordnet.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(path)
            return True
    return False
