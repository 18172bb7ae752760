"""Insult, obscenity and hatred in a text, by the classifier that is shipped; see models/toxicity.md."""

from functools import cache
from importlib import resources

from pipeline.filters.classifier import Classifier


@cache
def load() -> Classifier:
    """The model, once per process."""
    with resources.as_file(resources.files("pipeline.filters").joinpath("models/toxicity.ftz")) as path:
        return Classifier(path)


def score(text: str) -> float:
    """How toxic the text is as a whole, 0 to 1."""
    return load().score(text)
