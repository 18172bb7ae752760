"""The sample crawl, built once per test run."""

from pathlib import Path

import pytest

from demo import crawl


@pytest.fixture(scope="session")
def sample_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished sample crawl; packages are downloaded unless they are cached."""
    folder = tmp_path_factory.mktemp("sample") / "crawl"
    crawl.build(str(folder))
    return folder
