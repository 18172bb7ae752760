"""Language identification by a fastText model (Joulin et al. 2016), by default lid.176 (models/lid.176.md).

Other models, such as GlotLID (Kargaran et al. 2023), label texts by ISO 639-3 code and script, ``eng_Latn``;
``languages.toml`` maps their labels to our codes.
"""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

import fasttext
from datatrove.utils.typeshelper import Languages

from core import storage
from core.errors import ConfigError, InputError
from core.resources import read_toml
from pipeline.filters.windows import sample_windows

NUM_WINDOWS, WINDOW = 8, 300
"""Windows sampled from a long text, and characters per window. On 2,065 pages, more windows and whole texts
gave the same languages."""

_PREFIX = "__label__"
_DEFAULT_MODEL = "models/lid.176.ftz"
_CODE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?")


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

    ``declared``: if given, it is returned as the language, with the model's probability for it, or 1 if the
    model does not know the language. ``model``: path of a model other than the packaged one. A text without
    words has no language and scores 0.
    """
    line = sample_windows(text, NUM_WINDOWS, WINDOW).encode("utf-8", "replace").decode().replace("\n", " ")
    code = _mappings()["editions"].get(declared.lower()) or declared.lower().partition("-")[0]
    codes = _label_codes(model)
    if code and code not in codes.values():
        return code, 1.0
    if not line.strip():
        return code, 0.0
    scores: dict[str, float] = {}
    for score, label in _predict(line, model, all_labels=bool(code)):
        predicted = codes[label]
        scores[predicted] = min(scores.get(predicted, 0.0) + score, 1.0)
    best = code or next(iter(scores))
    return best, scores.get(best, 0.0)


def refuse_unknown(codes: Iterable[str], key: str, model: str = "") -> None:
    """Raise :class:`ConfigError` for codes in the setting ``key`` that :func:`identify` never returns.

    ``model``: as for :func:`identify`. It is not loaded; all well-formed codes are accepted if it is given.
    """
    mappings = _mappings()
    for code in codes:
        ours = mappings["editions"].get(code) or (mappings["languages"].get(code) if code != "als" else None)
        if ours:
            raise ConfigError(f"{key}: {code!r} is not the code that is used here; write {ours}")
        if _CODE.fullmatch(code) and (model or code.partition("-")[0] in _known_codes()):
            continue
        if ours := _intended_code(code):
            raise ConfigError(f"{key}: {code!r} is not a language code; write {ours}")
        near = difflib.get_close_matches(code.lower(), _common_codes(), n=3, cutoff=0.0)
        raise ConfigError(
            f"{key}: {code!r} is not a language code; the nearest valid codes are {', '.join(near)}; "
            "use ISO 639-1 such as en, or else ISO 639-3"
        )


@cache
def _common_codes() -> list[str]:
    """Return the ISO 639-1 codes and those that the packaged model returns, sorted."""
    mappings = _mappings()
    return sorted(
        {*mappings["languages"].values(), *mappings["editions"].values(), *_label_codes("").values()}
    )


@cache
def _known_codes() -> frozenset[str]:
    """Return the common codes and all ISO 639-3 codes, which a page or an edition may declare."""
    return frozenset([*_common_codes(), *_codes_by_name().values()])


@cache
def _codes_by_name() -> dict[str, str]:
    """Return some 2,000 ISO 639-3 codes by English name in lower case with underscores, as datatrove has."""
    return {name: code for name, code in vars(Languages).items() if re.fullmatch("[a-z]{3}", str(code))}


def _intended_code(text: str) -> str | None:
    """Return the code for ``EN``, ``en-US``, ``eng_Latn`` or ``English``, or None if there is none."""
    lowered = text.strip().lower()
    code = _codes_by_name().get(re.sub(r"\W+", "_", lowered)) or re.split("[-_]", lowered)[0]
    code = _mappings()["editions"].get(code) or _mappings()["languages"].get(code, code)
    return code if code in _known_codes() else None


@cache
def _label_codes(model: str) -> dict[str, str]:
    """Return our language code for each of the model's labels."""
    return {label: _label_code(label.removeprefix(_PREFIX)) for label in load(model).get_labels()}


def _label_code(label: str) -> str:
    """Map ``en`` and ``eng_Latn`` to ``en``; ``srp_Latn`` to ``sr-Latn``, which is not the usual script."""
    language, _, script = label.partition("_")
    if not script:
        return label
    code = _mappings()["languages"].get(language, language)
    return code if _mappings()["scripts"].get(code, script) == script else f"{code}-{script}"


@cache
def _mappings() -> dict[str, dict[str, str]]:
    return read_toml("pipeline.filters", "languages.toml")


def _predict(line: str, model: str, *, all_labels: bool) -> list[tuple[float, str]]:
    """Return probabilities and labels, best first: of the best label only, or of all."""
    predictions: list[tuple[float, str]] = load(model).f.predict(
        line + "\n", -1 if all_labels else 1, 0.0, "strict"
    )
    return predictions
