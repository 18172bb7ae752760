"""Fixtures of the training tests, which these tests use too."""

from tests.train.conftest import alone, packed

__all__ = ["alone", "packed"]
