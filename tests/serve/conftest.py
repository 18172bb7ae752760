"""A tiny model, a server process for tests that do not change it, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from playwright.sync_api import Browser

from model import loading
from model.loading import LoadedModel
from tests.serve.browser import chromium
from tests.serve.server_process import ServerProcess, server_process, write_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny chat model."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def loaded(tiny_model: Path) -> LoadedModel:
    """Return the tiny model, loaded into this process."""
    return loading.load(str(tiny_model))


@pytest.fixture(scope="session")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the tiny model with default settings, a feedback store and a blocked word."""
    folder = tmp_path_factory.mktemp("server")
    words = folder / "words.txt"
    words.write_text("voldemort\n", encoding="utf-8")
    options = [
        "--set", f"serve.feedback={folder / 'feedback.sqlite'}",
        "--set", f"serve.blocked_words={words}",
        "--set", "serve.body_bytes=100000",
    ]  # fmt: skip
    with server_process(tiny_model, folder / "server.log", *options) as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    """OpenAI's client of the server."""
    with server.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Not session-scoped: while it is open, no other event loop can run in this thread."""
    with chromium() as started:
        yield started
