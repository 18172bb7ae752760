"""HTML to its main content by a model that says of each block how much of it belongs there.

Gradient-boosted trees, learned from pages with gold text (:mod:`pipeline.extraction.html.training`, and the card
in ``models/``), give each block the expected share of its words that is main content. What is kept is not all
above some threshold: of the blocks in the order of that share, as many as make the expected F1 of the page
greatest (as in Lewis, SIGIR 1995). So a page of little text that stands out and one of long lists are both
served; and a page of which next to nothing is expected has no main content.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.extraction.html.blocks import BREAK, Blocks, read
from pipeline.extraction.html.features import Floats, Names, features, name_words
from pipeline.extraction.html.nesting import too_deep
from pipeline.ledger import Drop

FORESTS = ("main_content_few.onnx", "main_content.onnx")
"""In ``models/``: few trees for all blocks, and many for those of which the few are not sure."""
NAMES = "main_content_names.json"
"""In ``models/``: what words in the names of elements say."""

_SURE = 3.5
"""Margin beyond which few trees are enough: a share of less than 3 % or more than 97 %."""
_ALIKE = 0.45
"""How far blocks of one template are moved to their mean."""
_CAUTION = 0.2
"""Of a site that they have not seen, the trees expect a little too much."""
_FEWEST_WORDS = 3.0
"""If fewer are expected, a page has no main content."""

_ROW = "tr"
_ITEMS = frozenset(("li", "dt", "dd", _ROW))
_VERBATIM = frozenset(("pre", "textarea"))


class Model:
    """Two forests of trees ``[block, feature]`` to shares, and the scores of words in names."""

    def __init__(self, forests: Sequence[bytes], scores: Mapping[str, float]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # other tasks have the other cores
        self._few, self._many = (
            onnxruntime.InferenceSession(forest, options, providers=["CPUExecutionProvider"])
            for forest in forests
        )
        self._names = score_names(scores)

    def shares(self, blocks: Blocks, url: str) -> tuple[Floats, Floats]:
        """For each block the expected share of its words that is main content, and its words."""
        matrix, words, templates = features(blocks, url, self._names)
        margins = _margins(self._few, matrix)
        unsure = np.flatnonzero(np.abs(margins) < _SURE)
        if len(unsure):
            margins[unsure] = _margins(self._many, matrix.take(unsure, 0))
        # What a site makes by one template it means alike.
        means = np.bincount(templates, margins * words) / np.bincount(templates, words)
        margins += _ALIKE * (means[templates].astype(np.float32) - margins)
        return 1 / (1 + np.exp(_CAUTION - margins)), words


def _margins(forest: onnxruntime.InferenceSession, matrix: Floats) -> Floats:
    margins: Floats = forest.run(None, {"features": matrix})[0]
    return margins[:, 0]


@cache
def model() -> Model:
    """The one that comes with the package."""
    folder = resources.files("pipeline.extraction.html") / "models"
    forests = [(folder / forest).read_bytes() for forest in FORESTS]
    return Model(forests, json.loads((folder / NAMES).read_text("utf-8")))


def score_names(scores: Mapping[str, float]) -> Names:
    """What elements' names say, from what their words say."""

    def score(signatures: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        found: list[float] = []
        firsts = []
        for words in name_words(signatures):
            firsts.append(len(found))
            found.append(0.0)
            found += [scores[word] for word in words if word in scores]
        known, begin = np.array(found), np.array(firsts)
        counts = np.diff(begin, append=len(found)) - 1
        mean = np.add.reduceat(known, begin) / np.maximum(counts, 1)
        return np.stack((np.minimum.reduceat(known, begin), np.maximum.reduceat(known, begin), mean), 1)

    return score


def main_content(html: str, url: str) -> tuple[str, str] | Drop:
    """A page's main text and title; its address, which may be empty, helps to tell what kind of page it is.

    Paragraphs, headings, list items, table rows and lines of code are lines of their own. Link targets,
    alternative texts and form fields are left out.
    """
    if drop := too_deep(html):
        return drop
    blocks = read(html.encode("utf-8", "ignore"))
    return (write(blocks, keep(*model().shares(blocks, url))) if blocks.texts else ""), blocks.title


def keep(shares: Floats, words: Floats) -> NDArray[np.int64]:
    """The blocks, in their order on the page, for which the expected F1 is greatest."""
    order = np.argsort(-shares, kind="stable")
    taken = np.cumsum(words[order])
    right = np.cumsum((shares * words)[order])
    if right[-1] < _FEWEST_WORDS:
        return order[:0]
    return np.sort(order[: int(np.argmax(right / (taken + right[-1]))) + 1])


def write(blocks: Blocks, kept: Sequence[int] | NDArray[np.int64]) -> str:
    """The text of these blocks: a blank line between paragraphs, none between the items of a list."""
    items, verbatim = _items(blocks)
    pieces: list[str] = []
    before, kind_before = -1, ""
    for block in map(int, kept):
        owner = blocks.owners[block]
        here = items[owner]
        kind = blocks.tags[here] if here >= 0 else ""
        if pieces:
            in_row = kind == _ROW and here == before
            pieces.append(" | " if in_row else "\n" if kind and kind_before else "\n\n")
        if kind == "li" and here != before:
            pieces.append("- ")
        pieces.append(_lines(blocks.texts[block], verbatim[owner]))
        before, kind_before = here, kind
    return "".join(pieces)


def _items(blocks: Blocks) -> tuple[list[int], list[bool]]:
    """Of each element: the list item or table row that it lies in or is, or -1; and if it is preformatted."""
    # The last ones, which -1 finds, stand for what is above the body.
    items = [-1] * (len(blocks.tags) + 1)
    verbatim = [False] * (len(blocks.tags) + 1)
    for element, (tag, parent) in enumerate(zip(blocks.tags, blocks.parents, strict=True)):
        items[element] = element if tag in _ITEMS else items[parent]
        verbatim[element] = tag in _VERBATIM or verbatim[parent]
    return items, verbatim


def _lines(text: str, verbatim: bool) -> str:
    """A block's text as a browser would break it: as it stands if it is preformatted, else only at breaks."""
    if verbatim:
        return text.replace(BREAK, "\n")
    return "\n".join([" ".join(line.split()) for line in text.split(BREAK)])
