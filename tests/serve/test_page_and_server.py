"""The chat page in a browser, with the real server and a tiny model."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from model.loading import LoadedModel
from tests.serve.browser import send, watched_page
from tests.serve.client import wait_for
from tests.serve.paced_server import paced_server
from tests.serve.server_process import ServerProcess

pytestmark = pytest.mark.server

expect.set_options(timeout=60_000)


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


def stored(database: Path, query: str) -> list[tuple[str, ...]]:
    """Query a feedback store; return no rows while it does not exist."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_streamed_answer_can_be_stopped_and_corrected_and_survives_a_reload(
    browser: Browser, loaded: LoadedModel, tmp_path: Path
) -> None:
    database = tmp_path / "feedback.sqlite"
    with (
        paced_server(loaded, feedback=str(database), safety=False) as server,
        watched_page(browser, server.url) as page,
    ):
        expect(page.get_by_label("Model")).to_have_value("tiny")
        server.batcher.permit(30)
        send(page, "Write")
        answer = page.get_by_role("article", name="Answer")
        page.wait_for_function("() => document.querySelector('.assistant .body').textContent.length > 10")
        page.get_by_role("button", name="Stop").click()
        expect(answer).to_contain_text("Stopped.")
        text = answer.locator(".body").inner_text()
        # The server remembers a cancelled answer once it notices that the client disconnected.
        wait_for(lambda: server.metric("answers_total", '{finish_reason="cancelled"}') == 1)
        assert not database.exists()  # nothing is stored before the answer is rated
        answer.get_by_role("button", name="Bad answer").click()
        page.get_by_label("Corrected answer").fill("Better.")
        page.get_by_role("dialog").get_by_role("button", name="Send").click()
        expect(page.locator("#toast")).to_contain_text("Thank you")
        page.reload()
        expect(answer.locator(".body")).to_have_text(text)
    query = (
        "SELECT messages, answer, finish_reason, correction FROM feedback JOIN answers USING (response_id)"
        " WHERE correction = 'Better.'"
    )
    ((messages, answer_text, finish, correction),) = stored(database, query)
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
