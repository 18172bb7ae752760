"""A feedback store in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.feedback.store import FeedbackStore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "feedback.sqlite"


@pytest.fixture
def store(database: Path) -> Iterator[FeedbackStore]:
    opened = FeedbackStore(str(database))
    yield opened
    opened.close()
