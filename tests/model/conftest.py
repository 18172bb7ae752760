"""Fixtures of the training tests, which these tests use too."""

from tests.train.conftest import packed, world

__all__ = ["packed", "world"]
