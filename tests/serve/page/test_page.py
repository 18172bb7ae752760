"""The chat page in a browser, with a server that has scripted answers: conversations, feedback, errors."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.client import wait_for
from tests.serve.page.actions import answer, wait_until_finished
from tests.serve.scripted_server import ScriptedServer, scripted_server

pytestmark = pytest.mark.server


def stored_feedback(database: Path) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with sqlite3.connect(database) as connection:
        return connection.execute(
            "SELECT response_id, rating, correction, comment FROM feedback ORDER BY number"
        ).fetchall()


def test_answer_streams_and_the_next_request_contains_the_conversation(
    page: Page, server: ScriptedServer
) -> None:
    server.add_answer("The capital ", "is ", "**Paris**.", held=2)
    server.add_answer("About two million.")
    send(page, "What is the capital of France?")
    expect(answer(page)).to_have_attribute("aria-busy", "true")
    expect(answer(page)).to_contain_text("The capital is")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    server.resume.set()
    wait_until_finished(page)
    expect(answer(page).locator("strong")).to_have_text("Paris")
    expect(page.locator("#status")).to_contain_text("The capital is Paris.")
    send(page, "How many live there?")
    expect(answer(page)).to_contain_text("two million")
    assert [(message["role"], message["content"]) for message in server.requests[1]["messages"]] == [
        ("user", "What is the capital of France?"),
        ("assistant", "The capital is **Paris**."),
        ("user", "How many live there?"),
    ]
    assert server.requests[1]["model"] == "scripted"


def test_stop_keeps_the_text_so_far_and_disconnects(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three ", held=2)
    send(page, "Count")
    expect(answer(page)).to_contain_text("one two")
    page.get_by_role("button", name="Stop").click()
    expect(answer(page)).to_contain_text("Stopped.")
    wait_until_finished(page)
    wait_for(lambda: server.num_disconnects == 1)
    expect(answer(page).locator(".body")).to_have_text("one two ")


def test_answers_can_be_regenerated(page: Page, server: ScriptedServer) -> None:
    server.add_answer("First.")
    server.add_answer("Second.")
    send(page, "Say something")
    expect(answer(page)).to_contain_text("First.")
    page.get_by_role("button", name="Regenerate").click()
    expect(answer(page)).to_contain_text("Second.")
    expect(page.get_by_role("article")).to_have_count(2)
    assert server.requests[0]["messages"] == server.requests[1]["messages"]
    assert (server.requests[0]["temperature"], server.requests[1]["temperature"]) == (0, 0.5)


def test_failed_regeneration_restores_the_answer(page: Page, server: ScriptedServer) -> None:
    server.add_answer("First.")
    server.add_answer(status=503)
    send(page, "Say something")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_role("alert")).to_contain_text("starting or shutting down")
    expect(answer(page)).to_contain_text("First.")


def test_ratings_and_corrections_are_stored(page: Page, server: ScriptedServer, tmp_path: Path) -> None:
    server.add_answer("Lyon.")
    send(page, "Capital of France?")
    answer(page).get_by_role("button", name="Good answer").click()
    expect(answer(page).get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    answer(page).get_by_role("button", name="Bad answer").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Corrected answer")).to_have_value("Lyon.")
    dialog.get_by_label("Corrected answer").fill("Paris.\nOn the Seine.")
    dialog.get_by_label("Comment").fill("wrong town")
    dialog.get_by_role("button", name="Send").click()
    expect(page.locator("#toast")).to_contain_text("Thank you")
    expect(answer(page).get_by_role("button", name="Correct")).to_have_attribute("aria-pressed", "true")
    assert stored_feedback(tmp_path / "feedback.sqlite") == [
        ("chatcmpl-1", "up", None, None),
        ("chatcmpl-1", "down", None, None),
        ("chatcmpl-1", "down", "Paris.\nOn the Seine.", "wrong town"),
    ]


def test_base_model_and_stored_conversations_are_announced(browser: Browser, tmp_path: Path) -> None:
    with scripted_server(tmp_path / "feedback.sqlite") as server:
        server.can_chat, server.feedback.store_all = False, True
        with watched_page(browser, server.url) as page:
            expect(page.get_by_role("alert")).to_contain_text("This is a base model")
            expect(page.locator("#privacy")).to_have_text("This server stores all conversations.")


def test_cancelled_correction_sends_nothing(page: Page, server: ScriptedServer, tmp_path: Path) -> None:
    server.add_answer("Lyon.")
    send(page, "Capital of France?")
    answer(page).get_by_role("button", name="Correct").click()
    page.get_by_label("Corrected answer").fill("Paris.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert stored_feedback(tmp_path / "feedback.sqlite") == []


def test_rating_buttons_are_hidden_if_the_server_stores_no_feedback(browser: Browser) -> None:
    with scripted_server("") as server, watched_page(browser, server.url) as page:
        server.add_answer("Fine.")
        send(page, "How are you?")
        wait_until_finished(page)
        expect(page.get_by_role("button", name="Good answer")).to_have_count(0)
        expect(page.get_by_role("button", name="Copy")).to_be_visible()


def test_conversations_survive_a_reload_and_can_be_renamed_deleted_and_restored(
    page: Page, server: ScriptedServer
) -> None:
    for number in range(2):
        server.add_answer(f"Answer {number}")
        page.get_by_role("button", name="New chat").click()
        send(page, f"Question {number}")
        expect(answer(page)).to_contain_text(f"Answer {number}")
        wait_until_finished(page)
    page.reload()
    expect(answer(page)).to_contain_text("Answer 1")  # the open one
    drawer = page.get_by_role("navigation")
    drawer.get_by_role("button", name="Question 0", exact=True).click()
    expect(answer(page)).to_contain_text("Answer 0")
    drawer.get_by_role("button", name="Rename Question 0").click()
    drawer.get_by_role("textbox").fill("<b>Mills</b>")
    drawer.get_by_role("textbox").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>Mills</b>")
    drawer.get_by_role("button", name="Delete <b>Mills</b>").click()
    expect(drawer.get_by_role("listitem")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    page.reload()
    expect(drawer.get_by_role("listitem")).to_have_count(2)
    expect(answer(page)).to_contain_text("Answer 0")


def test_answer_interrupted_by_a_reload_keeps_its_text(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three ", held=2)
    send(page, "Count")
    expect(answer(page)).to_contain_text("one two")
    page.reload()
    expect(answer(page)).to_contain_text("one two")
    expect(answer(page)).to_contain_text("This answer is incomplete.")


def test_settings_are_stored_and_sent(page: Page, server: ScriptedServer) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.25")
    page.get_by_label("Maximum length").fill("50")
    page.get_by_role("button", name="Save").click()
    page.reload()
    server.add_answer("Yes.", finish="length")
    send(page, "Well?")
    expect(answer(page)).to_contain_text("reached the maximum length")
    request = server.requests[0]
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (request["temperature"], request["max_tokens"], request["stream"]) == (0.25, 50, True)


def test_default_temperature_is_zero(page: Page, server: ScriptedServer) -> None:
    server.add_answer("Yes.")
    send(page, "Well?")
    wait_until_finished(page)
    request = server.requests[0]
    assert set(request) == {"model", "messages", "stream", "temperature", "top_p"}
    assert (request["temperature"], request["top_p"]) == (0, 0.9)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("")
    page.get_by_role("button", name="Save").click()
    server.add_answer("No.")
    send(page, "Well?")
    expect(answer(page)).to_contain_text("No.")
    assert "temperature" not in server.requests[1]


def test_page_waits_while_the_model_is_loading(browser: Browser, server: ScriptedServer) -> None:
    server.loading = True
    with watched_page(browser, server.url) as page:
        expect(page.get_by_role("alert")).to_contain_text("is loading its model")
        server.loading = False
        expect(page.get_by_label("Model")).to_have_value("scripted")
        expect(page.get_by_role("alert")).to_be_hidden()


def test_api_key_is_requested_sent_and_kept_for_the_tab(browser: Browser, server: ScriptedServer) -> None:
    server.key = "secret"
    server.add_answer("Open.")
    with watched_page(browser, server.url) as page:
        for key in ("wrong", "secret"):
            page.get_by_label("API key", exact=True).fill(key)
            page.get_by_label("API key", exact=True).press("Enter")
        expect(page.get_by_label("Model")).to_have_value("scripted")
        send(page, "Sesame")
        expect(answer(page)).to_contain_text("Open.")
        assert page.evaluate("Object.values(localStorage).join().includes('secret')") is False
        page.reload()
        expect(page.get_by_label("Model")).to_have_value("scripted")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"status": 429, "retry_after": 7}, "The server is busy. Try again in 7 seconds."),
        ({"status": 503}, "starting or shutting down"),
        ({"status": 500}, "scripted error"),
        ({"status": 400, "code": "content_filter"}, "safety filter"),
        ({"status": 400, "code": "context_length_exceeded"}, "longer than the model’s context"),
    ],
)
def test_rejected_question_is_explained_and_returned_to_the_input(
    page: Page, server: ScriptedServer, error: dict[str, Any], expected: str
) -> None:
    server.add_answer(**error)
    send(page, "May I?")
    expect(page.get_by_role("alert")).to_contain_text(expected)
    expect(page.get_by_label("Message", exact=True)).to_have_value("May I?")
    expect(page.get_by_role("article")).to_have_count(0)
    server.add_answer("You may.")
    if error["status"] == 400:
        page.get_by_role("button", name="Send").click()
    else:
        page.get_by_role("button", name="Try again").click()
    expect(answer(page)).to_contain_text("You may.")
    assert len(server.requests[1]["messages"]) == 1


def test_answer_ended_by_the_filter_or_an_error_has_a_note(page: Page, server: ScriptedServer) -> None:
    server.add_answer("Half an ", finish="content_filter")
    send(page, "One")
    expect(answer(page)).to_contain_text("safety filter ended this answer")
    server.add_answer("Half", error="the engine broke")
    send(page, "Two")
    expect(page.get_by_role("alert")).to_contain_text("the engine broke")
    expect(answer(page)).to_contain_text("This answer is incomplete.")


def test_refusals_show_rule_and_category(page: Page, server: ScriptedServer) -> None:
    refusal = {"rule": "toxicity", "category": "insult"}
    server.add_answer("Half an ", finish="content_filter", refusal=refusal)
    send(page, "One")
    expect(answer(page)).to_contain_text("ended this answer. Rule: toxicity, category: insult.")
    server.add_answer(status=400, code="content_filter", refusal=refusal)
    send(page, "Two")
    expect(page.get_by_role("alert")).to_contain_text("this message. Rule: toxicity, category: insult.")


def test_unfinished_answers_can_be_continued(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one, two", finish="length")
    send(page, "Count")
    expect(answer(page)).to_contain_text("The answer reached the maximum length.")
    server.add_answer(", three")
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(answer(page)).to_contain_text("one, two, three")
    wait_until_finished(page)
    expect(page.get_by_role("button", name="Continue", exact=True)).to_have_count(0)
    request = server.requests[-1]
    assert request["continue_final_message"] is True
    assert [(message["role"], message["content"]) for message in request["messages"]] == [
        ("user", "Count"),
        ("assistant", "one, two"),
    ]


def test_unanswered_questions_are_not_sent_again(page: Page, server: ScriptedServer) -> None:
    server.add_answer("never", held=0)
    send(page, "Slow one")
    page.get_by_role("button", name="Stop").click()
    wait_until_finished(page)
    server.add_answer("Here.")
    send(page, "Next one")
    expect(answer(page)).to_contain_text("Here.")
    assert [message["content"] for message in server.requests[-1]["messages"]] == ["Next one"]


def test_answer_continues_while_another_conversation_is_open(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three", held=1)
    send(page, "Count")
    page.get_by_role("button", name="New chat").click()
    server.add_answer("Hello.")
    send(page, "Greet")
    expect(answer(page)).to_contain_text("Hello.")
    server.resume.set()
    page.get_by_role("navigation").get_by_role("button", name="Count", exact=True).click()
    expect(answer(page)).to_contain_text("one two three")
    wait_until_finished(page)


def test_copy_writes_the_answer_to_the_clipboard(browser: Browser, server: ScriptedServer) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with watched_page(browser, server.url, permissions=permissions) as page:
        server.add_answer("Some **text**:\n```\ncode\n```")
        send(page, "Write")
        answer(page).get_by_role("button", name="Copy", exact=True).last.click()
        page.wait_for_function(
            "async () => await navigator.clipboard.readText() === 'Some **text**:\\n```\\ncode\\n```'"
        )
        answer(page).locator("figure").get_by_role("button", name="Copy").click()
        page.wait_for_function("async () => await navigator.clipboard.readText() === 'code'")
