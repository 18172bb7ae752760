"""Pages with gold text to the model of :mod:`pipeline.extraction.html.main_content`.

Two things are learned. First, of each word in the names of elements, whether what lies in such elements is
main content more often than the rest of their pages; what a page's own site contributed is left out when that
page is learned from, so that the trees trust the words no more than they deserve on a new site. Then the
trees: each block's share of words in the gold text, weighted by its words, page by page much alike.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipeline.extraction.html.alignment import aligned
from pipeline.extraction.html.blocks import Blocks, read
from pipeline.extraction.html.features import Floats, features, name_words
from pipeline.extraction.html.main_content import score_names

SETTINGS: Mapping[str, Any] = {
    "objective": "cross_entropy",
    "num_leaves": 24,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "num_threads": 1,  # so that the same pages give the same model
    "deterministic": True,
    "verbose": -1,
    "seed": 0,
}
FEW: Mapping[str, Any] = {"num_trees": 60, "learning_rate": 0.2}
MANY: Mapping[str, Any] = {"num_trees": 250, "learning_rate": 0.07}
_FEWEST_SITES = 3
"""A word in names must occur on so many sites."""
_PRIOR = 0.15
"""Pages' worth of doubt in what a word says."""
_NO_ADDRESS = 5
"""One page in so many is learned from without its address, for a page may come without one."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page to learn from."""

    html: str
    url: str
    site: str
    """Pages of one site are alike: they are learned from or measured on together."""
    gold: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A page's blocks and what is known of them."""

    page: Page
    blocks: Blocks
    shares: NDArray[np.float64]
    """Of each block's words, the share in the gold text."""
    words: NDArray[np.float64]


def label(page: Page) -> Labelled | None:
    """Align a page with its gold text; None if there is nothing to learn."""
    blocks = read(page.html)
    if not blocks.texts or not page.gold:
        return None
    matched, words = map(np.array, aligned(blocks.texts, page.gold))
    if not matched.sum():
        return None
    return Labelled(page, blocks, matched / np.maximum(words, 1), words.astype(np.float64))


class NameStatistics:
    """By word in names and by site: share of pages' words in such elements, and its surplus of gold."""

    def __init__(self, pages: Sequence[Labelled]) -> None:
        self._sites: defaultdict[str, defaultdict[str, NDArray[np.float64]]] = defaultdict(
            lambda: defaultdict(lambda: np.zeros(2))
        )
        for page in pages:
            for word, sums in _by_word(page):
                self._sites[word][page.page.site] += sums
        self._totals = {word: np.sum(list(sites.values()), axis=0) for word, sites in self._sites.items()}

    def scores(self, without: str = "") -> dict[str, float]:
        """What each word says, from -1 to 1, by all sites but one."""
        scores = {}
        for word, sites in self._sites.items():
            own = sites.get(without)
            if len(sites) >= _FEWEST_SITES and len(sites) - (own is not None) >= _FEWEST_SITES - 1:
                surplus, share = self._totals[word] - (0 if own is None else own)
                scores[word] = float(surplus / (share + _PRIOR))
        return scores


def _by_word(page: Labelled) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of each word in names, the surplus of gold over the page's mean, and the share of the page's words."""
    blocks, weights = page.blocks, page.words / page.words.sum()
    surplus = weights * (page.shares - (weights * page.shares).sum())
    running = np.concatenate((np.zeros((1, 2)), np.cumsum(np.stack((surplus, weights), 1), 0)))
    firsts = np.array(blocks.firsts)
    held = running[firsts + np.array(blocks.counts)] - running[firsts]
    sums: defaultdict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    signatures = list(zip(blocks.names, blocks.tags, strict=True))
    for words, inside in zip(name_words(signatures), held, strict=True):
        if inside[1] > 0:
            for word in words:
                if len(word) > 1:
                    sums[word] += inside
    for word, total in sums.items():
        yield word, total / max(1.0, total[1])


def fit(pages: Sequence[Labelled]) -> tuple[list[bytes], dict[str, float]]:
    """The forests of few and of many trees, as ONNX, and the scores of words in names."""
    statistics = NameStatistics(pages)
    matrices: list[Floats] = []
    for number, page in enumerate(pages):
        names = score_names(statistics.scores(without=page.page.site))
        url = page.page.url if number % _NO_ADDRESS else ""
        matrices.append(features(page.blocks, url, names).matrix)
    weights = np.concatenate([(page.words + 0.3) / (page.words.sum() + 30) ** 0.7 for page in pages])
    data = lightgbm.Dataset(
        np.concatenate(matrices),
        np.concatenate([page.shares for page in pages]),
        weight=weights / weights.mean(),
    )
    forests = [lightgbm.train({**SETTINGS, **size}, data) for size in (FEW, MANY)]
    width = matrices[0].shape[1]
    scores = {word: round(score, 4) for word, score in sorted(statistics.scores().items())}
    return [to_onnx(forest.dump_model(), width) for forest in forests], scores


def to_onnx(dumped: Mapping[str, Any], width: int) -> bytes:
    """LightGBM's trees as an ONNX operator, float32 ``features`` ``[n, width]`` to ``margins`` ``[n, 1]``."""
    nodes: defaultdict[str, list[Any]] = defaultdict(list)
    leaves: defaultdict[str, list[Any]] = defaultdict(list)

    def add(tree: int, node: Mapping[str, Any], number: int) -> int:
        """Add a node and all below it; the number of the next."""
        is_leaf = "split_feature" not in node
        place = len(nodes["treeids"])
        for key, value in (
            ("treeids", tree),
            ("nodeids", number),
            ("featureids", 0 if is_leaf else node["split_feature"]),
            ("values", 0.0 if is_leaf else node["threshold"]),
            ("modes", "LEAF" if is_leaf else "BRANCH_LEQ"),
            ("truenodeids", 0 if is_leaf else number + 1),
            ("falsenodeids", 0),
        ):
            nodes[key].append(value)
        if is_leaf:
            for key, value in (
                ("treeids", tree),
                ("nodeids", number),
                ("ids", 0),
                ("weights", node["leaf_value"]),
            ):
                leaves[key].append(value)
            return number + 1
        nodes["falsenodeids"][place] = middle = add(tree, node["left_child"], number + 1)
        return add(tree, node["right_child"], middle)

    for tree, info in enumerate(dumped["tree_info"]):
        add(tree, info["tree_structure"], 0)
    attributes: dict[str, Any] = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in leaves.items()}
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["margins"],
        domain="ai.onnx.ml",
        n_targets=1,
        **attributes,
    )
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])]
    outputs = [helper.make_tensor_value_info("margins", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph([ensemble], "main_content", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
