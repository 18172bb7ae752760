"""Language identification by fastText's lid.176 (Joulin et al. 2016), compressed; see models/lid.176.md."""

from functools import cache
from importlib import resources

import fasttext

LONGEST = 50_000
"""Characters that are looked at; a book's beginning tells its language."""

_PREFIX = "__label__"
_SAME = {"nb": "no", "zh-yue": "yue", "simple": "en"}
"""Codes of Wikipedia editions and HTML that the model knows by another name."""


@cache
def load() -> "fasttext.FastText._FastText":
    """The model, once per process."""
    with resources.as_file(resources.files("pipeline.filters").joinpath("models/lid.176.ftz")) as path:
        return fasttext.load_model(str(path))


def identify(text: str, declared: str = "") -> tuple[str, float]:
    """The language of a text (ISO 639-1 where there is one, else 639-3) and its share among 176, 0 to 1.

    A ``declared`` language is taken at its word and scored by the model; one that the model does not know
    scores 1, since there is nothing to doubt it by. Text without words has no language and scores 0.
    """
    line = text[:LONGEST].encode("utf-8", "replace").decode().replace("\n", " ")
    code = _SAME.get(declared.lower(), declared.lower().partition("-")[0])
    if code and code not in _known():
        return code, 1.0
    if not line.strip():
        return code, 0.0
    scores = {
        label.removeprefix(_PREFIX): min(score, 1.0) for score, label in _predict(line, every=bool(code))
    }
    best = code or next(iter(scores))
    return best, scores.get(best, 0.0)


@cache
def _known() -> frozenset[str]:
    return frozenset(label.removeprefix(_PREFIX) for label in load().get_labels())


def _predict(line: str, *, every: bool) -> list[tuple[float, str]]:
    """Shares and labels, best first: of the best language or of every one."""
    predictions: list[tuple[float, str]] = load().f.predict(line + "\n", -1 if every else 1, 0.0, "strict")
    return predictions
