"""The chat page in a browser, with a server process and a tiny model."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.client import wait_for
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server

expect.set_options(timeout=20_000)


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


def stored(server: ServerProcess, query: str) -> list[tuple[str, ...]]:
    """Query the server's feedback store."""
    with closing(sqlite3.connect(server.log.parent / "feedback.sqlite")) as database:
        return database.execute(query).fetchall()


def test_streamed_answer_can_be_stopped_and_corrected_and_survives_a_reload(
    page: Page, server: ServerProcess
) -> None:
    expect(page.get_by_label("Model")).to_have_value(server.model)
    send(page, "Write")
    answer = page.get_by_role("article", name="Answer")
    page.wait_for_function("() => document.querySelector('.assistant .body').textContent.length > 10")
    page.get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("Stopped.")
    text = answer.locator(".body").inner_text()
    # The server stores a cancelled answer once it notices that the client disconnected.
    wait_for(lambda: stored(server, "SELECT 1 FROM answers WHERE messages LIKE '%\"Write\"%'"))
    answer.get_by_role("button", name="Bad answer").click()
    page.get_by_label("Corrected answer").fill("Better.")
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.locator("#toast")).to_contain_text("Thank you")
    page.reload()
    expect(answer.locator(".body")).to_have_text(text)
    ((messages, answer_text, finish, correction),) = stored(
        server,
        "SELECT messages, answer, finish_reason, correction FROM feedback JOIN answers USING (response_id)"
        " WHERE correction = 'Better.'",
    )
    assert messages == '[{"content":"Write","role":"user"}]'
    assert answer_text.startswith(text.strip()[:10])
    assert (finish, correction) == ("cancelled", "Better.")


def test_blocked_message_is_explained_and_returned(page: Page) -> None:
    send(page, "Tell me of Voldemort")
    expect(page.get_by_role("alert")).to_contain_text("safety filter")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Tell me of Voldemort")


def test_too_long_messages_are_explained(page: Page) -> None:
    send(page, "word " * 1000)
    expect(page.get_by_role("alert")).to_contain_text("longer than the model’s context")
    send(page, "word " * 30_000)
    expect(page.get_by_role("alert")).to_contain_text("larger than the server accepts")
