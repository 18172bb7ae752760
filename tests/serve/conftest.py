"""One tiny model and one server for all tests of this folder that change neither; a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.serve.browser import chromium
from tests.serve.tiny import Served, serving, write_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny chat model."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of it with the usual settings, which keeps feedback."""
    folder = tmp_path_factory.mktemp("served")
    words = folder / "words.txt"
    words.write_text("voldemort\n", encoding="utf-8")
    options = [
        "--set", f"serve.feedback={folder / 'feedback.sqlite'}",
        "--set", f"serve.blocked_words={words}",
        "--set", "serve.body_bytes=100000",
    ]  # fmt: skip
    with serving(tiny_model, folder / "server.log", *options) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Not for the whole session: while it is open, no other event loop runs in this thread."""
    with chromium() as started:
        yield started
