"""Training of the model of :mod:`pipeline.extraction.html.main_content`.

Training has two steps. First, each word in the names of elements is scored: positive if elements with it hold
main content more often than the rest of their pages. The contribution of a page's own site is left out when
the features of that page are computed, so that the trees do not overestimate the scores on unseen sites. Then
the trees are fitted to each block's share of words in the gold text, weighted by its words, with about the
same total weight for every page.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipeline.extraction.html.blocks import Blocks
from pipeline.extraction.html.features import Floats, features, split_names
from pipeline.extraction.html.main_content import Calibration, ModelFiles, name_scorer
from pipeline.extraction.html.segmentation import parse_blocks
from pipeline.training.extractor.alignment import align
from pipeline.training.extractor.gold import GoldPage

LIGHTGBM_PARAMETERS: Mapping[str, Any] = {
    "objective": "cross_entropy",
    "num_leaves": 24,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "num_threads": 1,  # for reproducible trees
    "deterministic": True,
    "verbose": -1,
    "seed": 0,
}
SMALL_FOREST: Mapping[str, Any] = {"num_trees": 60, "learning_rate": 0.2}
LARGE_FOREST: Mapping[str, Any] = {
    "num_trees": 400,
    "learning_rate": 0.045,
    "bagging_fraction": 0.6,
    "feature_fraction": 0.2,
}
CALIBRATION = Calibration(
    confident_margin=2.0,  # shares below 12 % or above 88 %
    template_smoothing=0.45,
    margin_offset=0.2,
    min_expected_words=5.0,
)
"""Chosen on out-of-fold predictions and stored with the model."""
_MIN_SITES = 3
"""A word in names is scored if it occurs on at least so many sites."""
_PRIOR = 0.15
"""Pages' worth of words with score 0 that are added to each word's statistics."""
_NO_URL_INTERVAL = 5
"""Every fifth page is used without its URL, because pages may come without one."""


@dataclass(frozen=True, slots=True)
class LabeledPage:
    """A page's blocks and their labels."""

    page: GoldPage
    blocks: Blocks
    shares: NDArray[np.float64]
    """The share of each block's words that is in the gold text."""
    words: NDArray[np.float64]
    """The number of words of each block."""


def label(page: GoldPage) -> LabeledPage | None:
    """Align a page with its gold text; return None if no word matches."""
    blocks = parse_blocks(page.html)
    if not blocks.texts or not page.gold:
        return None
    matched, words = map(np.array, align(blocks.texts, page.gold))
    if not matched.sum():
        return None
    return LabeledPage(page, blocks, matched / np.maximum(words, 1), words.astype(np.float64))


class NameStatistics:
    """Statistics of the words in element names, by site.

    For each word: the share of a page's words within elements with that name, and their surplus of gold words
    over the page's mean, both summed over pages.
    """

    def __init__(self, pages: Sequence[LabeledPage]) -> None:
        self._sites: defaultdict[str, defaultdict[str, NDArray[np.float64]]] = defaultdict(
            lambda: defaultdict(lambda: np.zeros(2))
        )
        for page in pages:
            for word, sums in _by_word(page):
                self._sites[word][page.page.site] += sums
        self._totals = {word: np.sum(list(sites.values()), axis=0) for word, sites in self._sites.items()}

    def scores(self, without: str = "") -> dict[str, float]:
        """Return each word's score, from -1 to 1, computed without one site."""
        scores = {}
        for word, sites in self._sites.items():
            own = sites.get(without)
            if len(sites) >= _MIN_SITES and len(sites) - (own is not None) >= _MIN_SITES - 1:
                surplus, share = self._totals[word] - (0 if own is None else own)
                scores[word] = float(surplus / (share + _PRIOR))
        return scores


def _by_word(page: LabeledPage) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each word in names with its surplus of gold and its share of the page's words, as ``[2]``."""
    blocks, weights = page.blocks, page.words / page.words.sum()
    surplus = weights * (page.shares - (weights * page.shares).sum())
    running = np.concatenate((np.zeros((1, 2)), np.cumsum(np.stack((surplus, weights), 1), 0)))
    firsts = np.array(blocks.firsts)
    by_element = running[firsts + np.array(blocks.counts)] - running[firsts]
    sums: defaultdict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    names = b" ".join(split_names(blocks.names)).decode().split("\0")[1:]
    for name, tag, inside in zip(names, blocks.tags, by_element, strict=True):
        if inside[1] > 0:
            for word in dict.fromkeys((f"<{tag}", *name.split())):
                if len(word) > 1:
                    sums[word] += inside
    for word, total in sums.items():
        yield word, total / max(1.0, total[1])


def fit(pages: Sequence[LabeledPage]) -> ModelFiles:
    """Train a model on labeled pages."""
    statistics = NameStatistics(pages)
    matrices: list[Floats] = []
    for number, page in enumerate(pages):
        scorer = name_scorer(statistics.scores(without=page.page.site))
        url = page.page.url if number % _NO_URL_INTERVAL else ""
        matrices.append(features(page.blocks, url, scorer).matrix)
    weights = np.concatenate([(page.words + 0.3) / (page.words.sum() + 30) ** 0.7 for page in pages])
    data = lightgbm.Dataset(
        np.concatenate(matrices),
        np.concatenate([page.shares for page in pages]),
        weight=weights / weights.mean(),
    )
    num_features = matrices[0].shape[1]
    small, large = (
        to_onnx(lightgbm.train({**LIGHTGBM_PARAMETERS, **size}, data).dump_model(), num_features)
        for size in (SMALL_FOREST, LARGE_FOREST)
    )
    scores = {word: round(score, 4) for word, score in sorted(statistics.scores().items())}
    return ModelFiles(small, large, scores, CALIBRATION)


def to_onnx(dumped: Mapping[str, Any], num_features: int) -> bytes:
    """Convert LightGBM's trees to an ONNX model.

    Its input is float32 ``features`` ``[n, num_features]``, its output float32 ``margins`` ``[n, 1]``.
    """
    nodes: defaultdict[str, list[Any]] = defaultdict(list)
    leaves: defaultdict[str, list[Any]] = defaultdict(list)
    for tree, info in enumerate(dumped["tree_info"]):
        _add_node(info["tree_structure"], tree, 0, nodes, leaves)
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
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, num_features])]
    outputs = [helper.make_tensor_value_info("margins", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph([ensemble], "main_content", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _add_node(
    node: Mapping[str, Any],
    tree: int,
    number: int,
    nodes: defaultdict[str, list[Any]],
    leaves: defaultdict[str, list[Any]],
) -> int:
    """Add a node and its subtree to the operator's attributes; return the number of the next node."""
    is_leaf = "split_feature" not in node
    index = len(nodes["treeids"])
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
    right = _add_node(node["left_child"], tree, number + 1, nodes, leaves)
    nodes["falsenodeids"][index] = right
    return _add_node(node["right_child"], tree, right, nodes, leaves)
