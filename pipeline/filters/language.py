"""Language identification by a fastText model (Joulin et al. 2016), by default lid.176 (models/lid.176.md).

Other models, such as GlotLID (Kargaran et al. 2023), label texts by ISO 639-3 code and script, ``eng_Latn``.
``benchmarks/language.py`` measures how the result depends on how a text is typed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import accumulate

import fasttext
import numpy as np

from core import storage
from core.errors import InputError
from pipeline.analysis.arrays import Groups, Positions, code_points
from pipeline.analysis.characters import LETTER, MARK, character_table
from pipeline.filters.windows import sample_windows
from pipeline.languages.codes import UNKNOWN, are_close, label_code, parse, without_script

NUM_WINDOWS, WINDOW = 8, 300
"""Windows sampled from a long text, and characters per window. On 2,065 pages, more windows and whole texts
gave the same languages."""
CONFIDENT = 0.8
"""Probability at which the model's first answer is accepted for a text of :data:`LONG` letters."""
LONG = 100
CONTRADICTION = 40
"""Times that another language must be as probable so that the declared one of a long text is not believed."""
SHORT, MIN_PROBABILITY = 50, 0.55
"""Letters below which the language of a text is unknown if its probability is below a minimum, which falls
from this value for one letter to 0."""

MAIN_SHARE = 0.7
"""Share of the main script's letters at which letters of other scripts are taken for quotations."""
_PREFIX = "__label__"
_DEFAULT_MODEL = "models/lid.176.ftz"
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_SINGLE_SPACE = re.compile(r"(?<=\S)[^\S\n](?=\S)")
_NOT_A_WORD = re.compile(r"^[@#]|[0-9@]|[a-z][._=(){}<>\[\]\\/|$^&*:]+[a-z]")
"""Tags, mentions, numbers, addresses, and words with signs inside, as in code."""
_CJK_LETTERS = 3
"""Letters of an alphabet that are about as much text as one Han character or Kana."""

Scores = dict[str, float]
"""Probability by language code."""


@cache
def load(path: str = "") -> "fasttext.FastText._FastText":
    """Load the packaged model, or the one at ``path``, local or remote. Cached per process.

    Raises :class:`InputError` if the file at ``path`` is not a fastText model.
    """
    if path:
        try:
            return fasttext.load_model(storage.local_copy(path))
        except ValueError as error:
            raise InputError(f"{path}: {error}; name a fastText model") from None
    with resources.as_file(resources.files("pipeline.filters").joinpath(_DEFAULT_MODEL)) as file:
        return fasttext.load_model(str(file))


def identify(text: str, declared: str = "", model: str = "") -> tuple[str, float]:
    """Return the language of a text (ISO 639-1, or 639-3 if there is no 639-1 code) and its probability.

    The language of a short text that the model cannot tell, or of a text without words, is
    :data:`~pipeline.languages.codes.UNKNOWN`.

    ``declared``: any spelling of a language (:mod:`~pipeline.languages.codes`). It is believed unless
    a long text is clearly in another language; if the model does not know it, its probability is 1.
    ``model``: path of a model other than the packaged one.
    """
    return identify_together([text], [declared], model)[0]


def identify_together(
    texts: Sequence[str], declared: Sequence[str], model: str = ""
) -> list[tuple[str, float]]:
    """Return what :func:`identify` does for each text and its declared language."""
    lines = repair_together([sample_windows(text, NUM_WINDOWS, WINDOW) for text in texts])
    letters = _count_letters(lines).tolist()
    return [
        _identify(line, count >= LONG, code, model)
        for line, count, code in zip(lines, letters, declared, strict=True)
    ]


def _identify(line: str, is_long: bool, declared: str, model: str) -> tuple[str, float]:
    if code := _declared_code(declared, model):
        return _check_declared(line, is_long, code, model)
    if not line:
        return UNKNOWN, 0.0
    best, probability = next(iter(_scores(line, model, 1).items()))
    if probability >= CONFIDENT and is_long:
        return best, probability
    best = _identify_words(line, model)
    return best, _scores(line, model).get(best, probability)


def _declared_code(declared: str, model: str) -> str:
    """Return the code of a declared language, with its script if the model distinguishes it."""
    code = parse(declared) if declared else ""
    return code if code in _label_codes(model).values() else without_script(code)


def _check_declared(line: str, is_long: bool, code: str, model: str) -> tuple[str, float]:
    """Return the declared language of a line, or the one that contradicts it, and its probability."""
    if code not in _label_codes(model).values():
        return code, 1.0
    if not line:
        return code, 0.0
    scores = _scores(line, model)
    best, score = max(scores, key=lambda each: scores[each]), scores.get(code, 0.0)
    evidence = sum(scores[each] for each in scores if each == best or are_close(each, best))
    contradicted = evidence >= max(CONFIDENT, CONTRADICTION * score) and not are_close(best, code)
    if contradicted and is_long:
        return best, scores[best]
    return code, score


def repair(text: str) -> str:
    """Undo ways of typing that the model has not seen, on one line; prose is returned unchanged.

    Text in capitals becomes lower case, white space one space, spaced letters words, decomposed characters
    composed ones.
    """
    return repair_together([text])[0]


def repair_together(texts: Sequence[str]) -> list[str]:
    """Return what :func:`repair` does for each text."""
    lines = list(map(_repair_spacing, texts))
    in_capitals = _count_capitals(lines) > _count_letters(lines) / 2
    return [line.lower() if capitals else line for line, capitals in zip(lines, in_capitals, strict=True)]


def _repair_spacing(text: str) -> str:
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        text = _INVISIBLE.sub("", text)
    words = text.split()
    if len(words) > 3 and list(map(len, words)).count(1) > len(words) / 2:
        letters = [word for word in words if len(word) == 1]
        if sum(map(str.isalpha, letters)) > len(words) / 2:
            words = _SINGLE_SPACE.sub("", text).split()
    return " ".join(words)


def _count_capitals(lines: Sequence[str]) -> Positions:
    """Return the number of characters per line that have a lower-case form."""
    codes = code_points("\n".join(lines))
    return _characters(lines).sums(character_table().lower.take(codes) != codes)


def _count_letters(lines: Sequence[str]) -> Positions:
    """Return the number of letters per line."""
    codes = code_points("\n".join(lines))
    return _characters(lines).sums(character_table().classes.take(codes) & LETTER != 0)


def _characters(lines: Sequence[str]) -> Groups:
    """Return the characters of each of the lines when they are joined by newlines."""
    bounds = np.fromiter(accumulate((len(line) + 1 for line in lines), initial=0), np.int64)
    bounds[-1] -= 1  # none after the last line
    return Groups(bounds)


def _identify_words(line: str, model: str) -> str:
    """Return the language of the words of a line in its main script, or :data:`UNKNOWN`.

    The mean of the probabilities for two forms of the line, in lower case with and without punctuation.
    """
    prose = _prose(line.lower())
    words = _words(prose)
    sums = _scores(prose, model)
    for code, score in _scores(words, model).items():
        sums[code] = sums.get(code, 0.0) + score
    best = max(sums, key=lambda code: sums[code])
    enough = MIN_PROBABILITY * (1 - int(_count_letters([words])[0]) / SHORT)
    return best if sums[best] / 2 >= enough else UNKNOWN


def _prose(line: str) -> str:
    """Remove URLs, code and letters of scripts other than the main one."""
    prose = " ".join(word for word in line.split() if not (word.isascii() and _NOT_A_WORD.search(word)))
    weights: Counter[str] = Counter()
    for character, count in Counter(prose).items():
        if script := _script(character):
            weights[script] += count * (_CJK_LETTERS if script == "CJK" else 1)
    if len(weights) > 1:
        main = max(weights, key=lambda script: weights[script])
        if weights[main] >= MAIN_SHARE * weights.total():
            prose = "".join(character for character in prose if _script(character) in ("", main))
    return prose if weights else line


@lru_cache(maxsize=1 << 14)
def _script(character: str) -> str:
    """Return the script of a letter or mark, by its name in Unicode; an empty string for other characters."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    script = unicodedata.name(character, "").partition(" ")[0]
    return "CJK" if "KANA" in script else "" if script == "COMBINING" else script


def _words(prose: str) -> str:
    codes = code_points(prose).copy()
    kept = character_table().classes[codes] & (LETTER | MARK) != 0
    codes[~kept & (codes != ord("'")) & (codes != ord("’")) & (codes != ord("-"))] = ord(" ")
    return " ".join(codes.tobytes().decode("utf-32-le").split())


@cache
def _label_codes(model: str) -> dict[str, str]:
    """Return our language code for each of the model's labels."""
    return {label: label_code(label.removeprefix(_PREFIX)) for label in load(model).get_labels()}


def _scores(line: str, model: str, count: int = -1) -> Scores:
    """Return the probability of each language, or of the ``count`` most probable labels."""
    scores: Scores = {}
    codes = _label_codes(model)
    for score, label in load(model).f.predict(line + "\n", count, 0.0, "strict"):
        scores[codes[label]] = min(scores.get(codes[label], 0.0) + score, 1.0)
    return scores
