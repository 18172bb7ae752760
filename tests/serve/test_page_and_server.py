"""The chat page with the server that it belongs to, and a tiny model behind both."""

import sqlite3
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


def test_an_answer_streams_is_stopped_rated_and_still_there_after_a_reload(
    page: Page, served: Served
) -> None:
    expect(page.get_by_label("Model")).to_have_value(served.name)
    send(page, "Write")
    answer = page.get_by_role("article", name="Answer")
    page.wait_for_function("() => document.querySelector('.assistant .body').textContent.length > 10")
    page.get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("Stopped.")
    text = answer.locator(".body").inner_text()
    answer.get_by_role("button", name="Bad answer").click()
    page.get_by_label("The answer as it should have been").fill("Better.")
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.locator("#toast")).to_contain_text("Thank you")
    page.reload()
    expect(answer.locator(".body")).to_have_text(text)
    kept = sqlite3.connect(served.log.parent / "feedback.sqlite")
    rows = kept.execute(
        "SELECT messages, answer, finish_reason, correction FROM feedback JOIN answers USING (response_id)"
        " WHERE correction = 'Better.'"
    ).fetchall()
    kept.close()
    ((messages, whole, finish, correction),) = rows
    assert messages == '[{"content":"Write","role":"user"}]'
    assert whole.startswith(text.strip()[:10]) and (finish, correction) == ("cancelled", "Better.")


def test_what_the_filter_blocks_is_explained(page: Page) -> None:
    send(page, "Tell me of Voldemort")
    expect(page.get_by_role("alert")).to_contain_text("safety filter")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Tell me of Voldemort")


def test_what_is_too_long_is_explained(page: Page) -> None:
    send(page, "word " * 1000)
    expect(page.get_by_role("alert")).to_contain_text("longer than the model can read")
    send(page, "word " * 30_000)
    expect(page.get_by_role("alert")).to_contain_text("larger than the server takes")
