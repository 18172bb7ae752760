"""The chat page with the server that it belongs to, and a tiny model behind both."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.tiny import Served

pytestmark = pytest.mark.server

expect.set_options(timeout=20_000)


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with watched_page(browser, served.url) as opened:
        yield opened


def test_what_the_filter_blocks_is_explained(page: Page) -> None:
    send(page, "Tell me of Voldemort")
    expect(page.get_by_role("alert")).to_contain_text("safety filter")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Tell me of Voldemort")


def test_what_is_too_long_is_explained(page: Page) -> None:
    send(page, "word " * 1000)
    expect(page.get_by_role("alert")).to_contain_text("longer than the model can read")
    send(page, "word " * 30_000)
    expect(page.get_by_role("alert")).to_contain_text("larger than the server takes")
