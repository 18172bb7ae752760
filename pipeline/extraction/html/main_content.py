"""Main content of HTML pages, by a model that estimates how much of each block belongs to it.

Gradient-boosted trees, trained on pages with gold text (:mod:`pipeline.training.extractor`; the model card is
in ``models/``), predict for each block the expected share of its words that is main content. Blocks
are not selected by a fixed threshold: in decreasing order of that share, as many are kept as maximize the
expected F1 of the page (as in Lewis, SIGIR 1995). This suits both a page with one short text and a page of
long lists. A page on which next to nothing is expected has no main content.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.extraction.html import coherence
from pipeline.extraction.html.blocks import Blocks
from pipeline.extraction.html.features import Floats, NameScorer, features, split_names
from pipeline.extraction.html.limits import check_nesting, limit_attributes
from pipeline.extraction.html.rendering import render
from pipeline.extraction.html.segmentation import parse_blocks
from pipeline.ledger import Drop

_SMALL_FOREST, _LARGE_FOREST = "main_content_few.onnx", "main_content.onnx"
_NAME_SCORES = "main_content_names.json"
_CALIBRATION = "main_content_calibration.json"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Parameters that turn the trees' margins (log-odds of shares) into a selection of blocks."""

    confident_margin: float
    """Absolute margin of the small forest from which on the large forest is not evaluated."""
    template_smoothing: float
    """Weight of the mean margin of a block's template, from 0 to 1."""
    margin_offset: float
    """Subtracted from all margins: on unseen sites, the trees predict slightly too much."""
    min_expected_words: float
    """A page on which fewer words of main content are expected has none."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A trained model as stored in a folder."""

    small_forest: bytes
    """ONNX; evaluated on all blocks."""
    large_forest: bytes
    """ONNX; evaluated on blocks of which the small forest is not confident."""
    name_scores: Mapping[str, float]
    """Scores of words in element names, from -1 to 1."""
    calibration: Calibration

    @classmethod
    def load(cls, folder: Traversable) -> "ModelFiles":
        """Read a model from a folder."""
        return cls(
            (folder / _SMALL_FOREST).read_bytes(),
            (folder / _LARGE_FOREST).read_bytes(),
            json.loads((folder / _NAME_SCORES).read_text("utf-8")),
            Calibration(**json.loads((folder / _CALIBRATION).read_text("utf-8"))),
        )

    def save(self, folder: Path) -> None:
        """Write the model to an existing folder."""
        (folder / _SMALL_FOREST).write_bytes(self.small_forest)
        (folder / _LARGE_FOREST).write_bytes(self.large_forest)
        for name, content in ((_NAME_SCORES, self.name_scores), (_CALIBRATION, asdict(self.calibration))):
            text = json.dumps(content, ensure_ascii=False, indent=0)
            (folder / name).write_text(text + "\n", encoding="utf-8")


class Model:
    """A trained model, ready for inference on one thread."""

    def __init__(self, stored: ModelFiles) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # other tasks use the other cores
        self._small, self._large = (
            onnxruntime.InferenceSession(forest, options, providers=["CPUExecutionProvider"])
            for forest in (stored.small_forest, stored.large_forest)
        )
        self._name_scorer = name_scorer(stored.name_scores)
        self._calibration = stored.calibration

    def main_text(self, blocks: Blocks, url: str) -> str:
        """Return the text of the blocks selected as main content; the URL may be empty."""
        if not blocks.texts:
            return ""
        shares, words = self.shares(blocks, url)
        return render(blocks, select_blocks(shares, words, self._calibration.min_expected_words).tolist())

    def shares(self, blocks: Blocks, url: str) -> tuple[Floats, Floats]:
        """Return, for each block, the expected share of its words that is main content, and its words."""
        calibration = self._calibration
        matrix, words, templates = features(blocks, url, self._name_scorer)
        margins = _margins(self._small, matrix)
        uncertain = (np.abs(margins) < calibration.confident_margin).nonzero()[0]
        if len(uncertain):
            margins[uncertain] = _margins(self._large, matrix.take(uncertain, 0))
        # Blocks of one template usually have the same role on the page.
        means = np.bincount(templates, margins * words) / np.bincount(templates, words)
        margins += calibration.template_smoothing * (means[templates].astype(np.float32) - margins)
        coherence.adjust(margins, blocks, words)
        return 1 / (1 + np.exp(calibration.margin_offset - margins)), words


def _margins(forest: onnxruntime.InferenceSession, matrix: Floats) -> Floats:
    margins: Floats = forest.run(None, {"features": matrix})[0]
    return margins[:, 0]


@cache
def model() -> Model:
    """Return the model that ships with the package."""
    return Model(ModelFiles.load(files("pipeline.extraction.html") / "models"))


def name_scorer(word_scores: Mapping[str, float]) -> NameScorer:
    """Return a function that scores element names by the scores of their words.

    A word counts once per element. The tag counts as the word ``<tag``.
    """
    # Number 1 stands for the start of an element, and as a word without effect. No word has number 0, so that
    # filtering for true numbers leaves out unknown words.
    values = np.array((0.0, 0.0, *word_scores.values()))
    numbers = {word.encode(): number for number, word in enumerate(("\0", *word_scores), 1)}

    def score(signatures: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        words = split_names([name for name, _ in signatures])
        in_names = np.fromiter(filter(None, map(numbers.get, words)), np.int64)
        tags = np.array([numbers.get(b"<" + tag.encode(), 1) for _, tag in signatures])
        elements = np.concatenate(((in_names == 1).cumsum() - 1, np.arange(len(tags))))
        pairs = np.sort(elements * len(values) + np.concatenate((in_names, tags)))
        found = pairs[np.concatenate(((True,), pairs[1:] != pairs[:-1]))] % len(values)
        scores, first = values[found], (found == 1).nonzero()[0]
        counts = np.concatenate((first[1:], (len(found),))) - first - 1
        mean = np.add.reduceat(scores, first) / np.maximum(counts, 1)
        return np.array((np.minimum.reduceat(scores, first), np.maximum.reduceat(scores, first), mean)).T

    return score


def main_content(html: str, url: str) -> tuple[str, str] | Drop:
    """Return a page's main text and title. The URL, which may be empty, is one of the model's features.

    Paragraphs, headings, list items, table rows and lines of code are on separate lines. Link targets,
    alternative texts and form fields are omitted.
    """
    page = limit_attributes(html).encode("utf-8", "ignore")
    if drop := check_nesting(page):
        return drop
    blocks = parse_blocks(page)
    return model().main_text(blocks, url), blocks.title


def select_blocks(shares: Floats, words: Floats, min_expected_words: float) -> NDArray[np.int64]:
    """Return the blocks that maximize the expected F1 of the page, in document order."""
    order = (-shares).argsort(kind="stable")
    selected = words[order].cumsum()
    correct = (shares * words)[order].cumsum()
    if correct[-1] < min_expected_words:
        return order[:0]
    return np.sort(order[: int((correct / (selected + correct[-1])).argmax()) + 1])
