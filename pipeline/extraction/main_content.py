"""HTML to its main content by a model that says of each block how much of it belongs there.

Gradient-boosted trees, learned from pages with gold text (``jobs/train_extractor.py``, and the card in
``models/``), give each block the expected share of its words that is main content. What is kept is not all
above some threshold: of the blocks in the order of that share, as many as make the expected F1 of the page
greatest (as in Lewis, SIGIR 1995). So a page of little text that stands out and one of long lists are both
served.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.extraction.blocks import BREAK, Blocks, read
from pipeline.extraction.features import Floats, Names, features, name_words
from pipeline.extraction.nesting import too_deep
from pipeline.ledger import Drop

MODEL, NAMES = "main_content.onnx", "main_content_names.json"
"""In ``models/``: the trees, and what words in the names of elements say."""

_ROW = "tr"
_ITEMS = frozenset(("li", "dt", "dd", _ROW))
_DISTINCT_NAMES = 1 << 16
"""Of elements, remembered between pages: sites share them."""


class Model:
    """The trees ``[block, feature]`` to shares, and the scores of words in names."""

    def __init__(self, trees: bytes, scores: Mapping[str, float]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # other tasks have the other cores
        self._trees = onnxruntime.InferenceSession(trees, options, providers=["CPUExecutionProvider"])
        self._names = lru_cache(_DISTINCT_NAMES)(score_names(scores))

    def shares(self, blocks: Blocks, url: str) -> tuple[Floats, Floats]:
        """For each block the expected share of its words that is main content, and its words."""
        matrix, words = features(blocks, url, self._names)
        (margins,) = self._trees.run(None, {"features": matrix})
        return 1 / (1 + np.exp(-margins[:, 0])), words


@cache
def model() -> Model:
    """The one that comes with the package."""
    folder = resources.files("pipeline.extraction") / "models"
    return Model((folder / MODEL).read_bytes(), json.loads((folder / NAMES).read_text("utf-8")))


def score_names(scores: Mapping[str, float]) -> Names:
    """What an element's names say, from what their words say."""

    def score(name: str, tag: str) -> tuple[float, float, float]:
        known = [scores[word] for word in name_words(name, tag) if word in scores]
        return (min(0.0, *known), max(0.0, *known), sum(known) / len(known)) if known else (0.0, 0.0, 0.0)

    return score


def main_content(html: str, url: str) -> tuple[str, str] | Drop:
    """A page's main text and title; its address, which may be empty, helps to tell what kind of page it is.

    Paragraphs, headings, list items, table rows and lines of code are lines of their own. Link targets,
    alternative texts and form fields are left out.
    """
    if drop := too_deep(html):
        return drop
    blocks = read(html)
    return (write(blocks, keep(*model().shares(blocks, url))) if blocks.texts else ""), blocks.title


def keep(shares: Floats, words: Floats) -> NDArray[np.int64]:
    """The blocks, in their order on the page, for which the expected F1 is greatest."""
    order = np.argsort(-shares, kind="stable")
    taken = np.cumsum(words[order])
    right = np.cumsum((shares * words)[order])
    return np.sort(order[: int(np.argmax(right / (taken + right[-1]))) + 1])


def write(blocks: Blocks, kept: Sequence[int] | NDArray[np.int64]) -> str:
    """The text of these blocks: a blank line between paragraphs, none between the items of a list."""
    pieces: list[str] = []
    before: tuple[str, int] = ("", -1)
    for block in map(int, kept):
        here = _item(blocks, block)
        kind = here[0]
        if pieces:
            in_row = kind == _ROW and here == before
            pieces.append(" | " if in_row else "\n" if kind and before[0] else "\n\n")
        first = kind == "li" and here != before
        pieces.append(("- " if first else "") + _lines(blocks, block))
        before = here
    return "".join(pieces)


def _item(blocks: Blocks, block: int) -> tuple[str, int]:
    """The list item or table row that a block lies in; empty and -1 if in none."""
    for element in blocks.ancestors(block):
        if blocks.tags[element] in _ITEMS:
            return blocks.tags[element], element
    return "", -1


def _lines(blocks: Blocks, block: int) -> str:
    """A block's text as a browser would break it: as it stands if it is preformatted, else only at breaks."""
    lines = blocks.texts[block].split(BREAK)
    if any(blocks.tags[element] in ("pre", "textarea") for element in blocks.ancestors(block)):
        return "\n".join(lines)
    return "\n".join(" ".join(line.split()) for line in lines)
