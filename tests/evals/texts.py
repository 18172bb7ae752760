"""Training and validation texts of the test model."""

from core.shards import SplitName
from tests.train.shard_maker import sentences

LONG = [" ".join(sentences(9, seed)) for seed in (5, 6)]
"""Documents that span several rows."""
TEXTS: dict[tuple[SplitName, str], list[str]] = {
    ("train", "books"): sentences(200, 1),
    ("train", "wikipedia"): sentences(90, 2),
    ("validation", "books"): [*sentences(9, 3), *LONG],
    ("validation", "wikipedia"): sentences(9, 4),
}
