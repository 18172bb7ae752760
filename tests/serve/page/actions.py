"""Parts of the chat page that several tests use."""

from playwright.sync_api import Locator, Page, expect


def answer(page: Page) -> Locator:
    """Return the last answer."""
    return page.get_by_role("article", name="Answer").last


def wait_until_finished(page: Page) -> None:
    """Wait until the last answer has ended."""
    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
