"""A server with scripted answers and the chat page in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import watched_page
from tests.serve.scripted_server import ScriptedServer, scripted_server

expect.set_options(timeout=60_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path / "feedback.sqlite") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: ScriptedServer) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened
