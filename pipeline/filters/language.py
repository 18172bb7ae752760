"""Language identification by a fastText model (Joulin et al. 2016): lid.176 unless another is named.

See models/lid.176.md. Other models, such as GlotLID's (Kargaran et al. 2023), label texts by ISO 639-3 and
script, ``eng_Latn``; their labels are translated by data/languages.toml.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

import fasttext

from core import storage
from core.errors import ConfigError, InputError
from core.resources import read_toml
from pipeline.filters.windows import sample_windows

STRETCHES, STRETCH = 8, 300
"""Stretches by which a longer text is known, and characters of each. On 2,065 pages more of them, up to whole
texts, find the same languages."""

_PREFIX = "__label__"
_SHIPPED = "models/lid.176.ftz"
_CODE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?")


@cache
def load(path: str = "") -> "fasttext.FastText._FastText":
    """The model that is shipped or the one at ``path``, local or remote, once per process.

    Raises :class:`InputError` for a path without a fastText model.
    """
    if path:
        try:
            return fasttext.load_model(storage.local_copy(path))
        except ValueError as error:
            raise InputError(f"{path}: {error}; name a fastText model") from None
    with resources.as_file(resources.files("pipeline.filters").joinpath(_SHIPPED)) as file:
        return fasttext.load_model(str(file))


def identify(text: str, declared: str = "", model: str = "") -> tuple[str, float]:
    """The language of a text (ISO 639-1 where there is one, else 639-3) and its share among all, 0 to 1.

    ``model`` is the path of another one than the shipped. A ``declared`` language is taken at its word and
    scored by the model; one that the model does not know scores 1, since there is nothing to doubt it by.
    Text without words has no language and scores 0.
    """
    line = sample_windows(text, STRETCHES, STRETCH).encode("utf-8", "replace").decode().replace("\n", " ")
    code = _names()["editions"].get(declared.lower()) or declared.lower().partition("-")[0]
    codes = _codes(model)
    if code and code not in codes.values():
        return code, 1.0
    if not line.strip():
        return code, 0.0
    scores: dict[str, float] = {}
    for score, label in _predict(line, model, every=bool(code)):
        found = codes[label]
        scores[found] = min(scores.get(found, 0.0) + score, 1.0)
    best = code or next(iter(scores))
    return best, scores.get(best, 0.0)


def refuse_unknown(codes: Iterable[str], key: str) -> None:
    """Raise :class:`ConfigError` for what no text would have in the setting ``key``."""
    for code in codes:
        ours = _names()["editions"].get(code) or (_names()["languages"].get(code) if code != "als" else None)
        if ours:
            raise ConfigError(f"{key}: {code!r} is a language that is called {ours} here; say so")
        if not _CODE.fullmatch(code):
            raise ConfigError(
                f"{key}: {code!r} is no language; use codes of ISO 639-1 such as en, else 639-3"
            )


@cache
def _codes(model: str) -> dict[str, str]:
    """Our code for each of the model's labels."""
    return {label: _code(label.removeprefix(_PREFIX)) for label in load(model).get_labels()}


def _code(label: str) -> str:
    """``en`` for ``en`` and ``eng_Latn``; ``sr-Latn`` for Serbian in the script that no table is for."""
    language, _, script = label.partition("_")
    if not script:
        return label
    code = _names()["languages"].get(language, language)
    return code if _names()["scripts"].get(code, script) == script else f"{code}-{script}"


@cache
def _names() -> dict[str, dict[str, str]]:
    return read_toml("pipeline.filters", "languages.toml")


def _predict(line: str, model: str, *, every: bool) -> list[tuple[float, str]]:
    """Shares and labels, best first: of the best language or of every one."""
    predictions: list[tuple[float, str]] = load(model).f.predict(
        line + "\n", -1 if every else 1, 0.0, "strict"
    )
    return predictions
