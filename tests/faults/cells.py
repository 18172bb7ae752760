"""Which cells of the fault table are run with all tests."""

import itertools
from collections.abc import Collection, Iterable
from typing import Any

import pytest


def cells(*axes: Iterable[Any], short: Collection[tuple[Any, ...]] = ()) -> list[Any]:
    """Return parameters for all combinations, of which only ``short`` ones are run with all tests."""
    return [
        pytest.param(*each, marks=() if each in short else pytest.mark.faults)
        for each in itertools.product(*axes)
    ]
