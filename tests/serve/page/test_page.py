"""The chat page as people use it: in a browser, against a server with prepared answers."""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.scripted_server import ScriptedServer, scripted_server

pytestmark = pytest.mark.server

expect.set_options(timeout=20_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path / "feedback.sqlite") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: ScriptedServer) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


def answer(page: Page, place: int = -1) -> Locator:
    answers = page.get_by_role("article", name="Answer")
    return answers.last if place < 0 else answers.nth(place)


def finished(page: Page) -> None:
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()


def said(database: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(
            "SELECT response_id, rating, correction, comment FROM feedback ORDER BY number"
        ).fetchall()


def test_an_answer_comes_piece_by_piece_and_the_next_question_carries_the_conversation(
    page: Page, server: ScriptedServer
) -> None:
    server.add_answer("The capital ", "is ", "**Paris**.", held=2)
    server.add_answer("About two million.")
    send(page, "What is the capital of France?")
    expect(answer(page)).to_have_attribute("aria-busy", "true")
    expect(answer(page)).to_contain_text("The capital is")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    server.resume.set()
    finished(page)
    expect(answer(page).locator("strong")).to_have_text("Paris")
    expect(page.locator("#status")).to_contain_text("The capital is Paris.")
    send(page, "How many live there?")
    expect(answer(page)).to_contain_text("two million")
    assert [(turn["role"], turn["content"]) for turn in server.requests[1]["messages"]] == [
        ("user", "What is the capital of France?"),
        ("assistant", "The capital is **Paris**."),
        ("user", "How many live there?"),
    ]
    assert server.requests[1]["model"] == "scripted"


def test_stop_keeps_what_came_and_leaves_the_server(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three ", held=2)
    send(page, "Count")
    expect(answer(page)).to_contain_text("one two")
    page.get_by_role("button", name="Stop").click()
    expect(answer(page)).to_contain_text("Stopped.")
    finished(page)
    deadline = time.monotonic() + 20
    while not server.num_disconnects and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert server.num_disconnects == 1
    expect(answer(page).locator(".body")).to_have_text("one two ")


def test_answers_can_be_asked_for_again(page: Page, server: ScriptedServer) -> None:
    server.add_answer("First.")
    server.add_answer("Second.")
    send(page, "Say something")
    expect(answer(page)).to_contain_text("First.")
    page.get_by_role("button", name="Answer again").click()
    expect(answer(page)).to_contain_text("Second.")
    expect(page.get_by_role("article")).to_have_count(2)
    assert server.requests[0]["messages"] == server.requests[1]["messages"]
    assert (server.requests[0]["temperature"], server.requests[1]["temperature"]) == (0, 0.5)


def test_a_refused_second_answer_brings_the_first_back(page: Page, server: ScriptedServer) -> None:
    server.add_answer("First.")
    server.add_answer(status=503)
    send(page, "Say something")
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_role("alert")).to_contain_text("starting or about to stop")
    expect(answer(page)).to_contain_text("First.")


def test_thumbs_and_corrections_reach_the_journal(page: Page, server: ScriptedServer, tmp_path: Path) -> None:
    server.add_answer("Lyon.")
    send(page, "Capital of France?")
    answer(page).get_by_role("button", name="Good answer").click()
    expect(answer(page).get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    answer(page).get_by_role("button", name="Bad answer").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("The answer as it should have been")).to_have_value("Lyon.")
    dialog.get_by_label("The answer as it should have been").fill("Paris.\nOn the Seine.")
    dialog.get_by_label("Comment").fill("wrong town")
    dialog.get_by_role("button", name="Send").click()
    expect(page.locator("#toast")).to_contain_text("Thank you")
    expect(answer(page).get_by_role("button", name="Correct")).to_have_attribute("aria-pressed", "true")
    assert said(tmp_path / "feedback.sqlite") == [
        ("chatcmpl-1", "up", None, None),
        ("chatcmpl-1", "down", None, None),
        ("chatcmpl-1", "down", "Paris.\nOn the Seine.", "wrong town"),
    ]


def test_a_cancelled_correction_sends_nothing(page: Page, server: ScriptedServer, tmp_path: Path) -> None:
    server.add_answer("Lyon.")
    send(page, "Capital of France?")
    answer(page).get_by_role("button", name="Correct").click()
    page.get_by_label("The answer as it should have been").fill("Paris.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert said(tmp_path / "feedback.sqlite") == []


def test_without_a_journal_nobody_is_asked_for_feedback(browser: Browser) -> None:
    with scripted_server("") as server, watched_page(browser, server.url) as page:
        server.add_answer("Fine.")
        send(page, "How are you?")
        finished(page)
        expect(page.get_by_role("button", name="Good answer")).to_have_count(0)
        expect(page.get_by_role("button", name="Copy")).to_be_visible()


def test_conversations_outlive_a_reload_and_can_be_renamed_deleted_and_brought_back(
    page: Page, server: ScriptedServer
) -> None:
    for number in range(2):
        server.add_answer(f"Answer {number}")
        page.get_by_role("button", name="New chat").click()
        send(page, f"Question {number}")
        finished(page)
    page.reload()
    expect(answer(page)).to_contain_text("Answer 1")  # the one that was open
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


def test_an_answer_cut_off_by_a_reload_is_kept_as_far_as_it_came(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three ", held=2)
    send(page, "Count")
    expect(answer(page)).to_contain_text("one two")
    page.reload()
    expect(answer(page)).to_contain_text("one two")
    expect(answer(page)).to_contain_text("This answer is incomplete.")


def test_settings_go_into_the_request_and_stay(page: Page, server: ScriptedServer) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.25")
    page.get_by_label("Longest answer").fill("50")
    page.get_by_role("button", name="Save").click()
    page.reload()
    server.add_answer("Yes.", finish="length")
    send(page, "Well?")
    expect(answer(page)).to_contain_text("reached its greatest length")
    asked = server.requests[0]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (asked["temperature"], asked["max_tokens"], asked["stream"]) == (0.25, 50, True)


def test_the_temperature_is_low_until_one_is_set(page: Page, server: ScriptedServer) -> None:
    server.add_answer("Yes.")
    send(page, "Well?")
    finished(page)
    asked = server.requests[0]
    assert set(asked) == {"model", "messages", "stream", "temperature", "top_p"}
    assert (asked["temperature"], asked["top_p"]) == (0, 0.9)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("")
    page.get_by_role("button", name="Save").click()
    server.add_answer("No.")
    send(page, "Well?")
    finished(page)
    assert "temperature" not in server.requests[1]


def test_a_server_that_is_loading_is_waited_for(browser: Browser, server: ScriptedServer) -> None:
    server.loading = True
    with watched_page(browser, server.url) as page:
        expect(page.get_by_role("alert")).to_contain_text("is loading its model")
        server.loading = False
        expect(page.get_by_label("Model")).to_have_value("scripted")
        expect(page.get_by_role("alert")).to_be_hidden()


def test_a_key_is_asked_for_kept_for_the_tab_and_sent(browser: Browser, server: ScriptedServer) -> None:
    server.key = "secret"
    server.add_answer("Open.")
    with watched_page(browser, server.url) as page:
        for key in ("wrong", "secret"):
            page.get_by_label("API key").fill(key)
            page.get_by_label("API key").press("Enter")
        expect(page.get_by_label("Model")).to_have_value("scripted")
        send(page, "Sesame")
        expect(answer(page)).to_contain_text("Open.")
        assert page.evaluate("Object.values(localStorage).join().includes('secret')") is False
        page.reload()
        expect(page.get_by_label("Model")).to_have_value("scripted")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ({"status": 429, "retry_after": 7}, "busy with other conversations. Try again in 7 seconds."),
        ({"status": 503}, "starting or about to stop"),
        ({"status": 500}, "scripted error"),
        ({"status": 400, "code": "content_filter"}, "safety filter"),
        ({"status": 400, "code": "context_length_exceeded"}, "longer than the model can read"),
    ],
)
def test_a_refused_question_is_explained_and_given_back(
    page: Page, server: ScriptedServer, refusal: dict[str, Any], expected: str
) -> None:
    server.add_answer(**refusal)
    send(page, "May I?")
    expect(page.get_by_role("alert")).to_contain_text(expected)
    expect(page.get_by_label("Message", exact=True)).to_have_value("May I?")
    expect(page.get_by_role("article")).to_have_count(0)
    server.add_answer("You may.")
    if refusal["status"] == 400:
        page.get_by_role("button", name="Send").click()
    else:
        page.get_by_role("button", name="Try again").click()
    expect(answer(page)).to_contain_text("You may.")
    assert len(server.requests[1]["messages"]) == 1


def test_an_answer_ended_by_the_filter_or_by_an_error_says_so(page: Page, server: ScriptedServer) -> None:
    server.add_answer("Half an ", finish="content_filter")
    send(page, "One")
    expect(answer(page)).to_contain_text("safety filter of this server ended this answer")
    server.add_answer("Half", error="the engine broke")
    send(page, "Two")
    expect(page.get_by_role("alert")).to_contain_text("the engine broke")
    expect(answer(page)).to_contain_text("This answer is incomplete.")


def test_questions_that_were_never_answered_are_not_sent_again(page: Page, server: ScriptedServer) -> None:
    server.add_answer("never", held=0)
    send(page, "Slow one")
    page.get_by_role("button", name="Stop").click()
    finished(page)
    server.add_answer("Here.")
    send(page, "Next one")
    expect(answer(page)).to_contain_text("Here.")
    assert [turn["content"] for turn in server.requests[-1]["messages"]] == ["Next one"]


def test_an_answer_goes_on_while_another_conversation_is_read(page: Page, server: ScriptedServer) -> None:
    server.add_answer("one ", "two ", "three", held=1)
    send(page, "Count")
    page.get_by_role("button", name="New chat").click()
    server.add_answer("Hello.")
    send(page, "Greet")
    expect(answer(page)).to_contain_text("Hello.")
    server.resume.set()
    page.get_by_role("navigation").get_by_role("button", name="Count", exact=True).click()
    expect(answer(page)).to_contain_text("one two three")
    finished(page)


def test_copy_puts_the_answer_on_the_clipboard(browser: Browser, server: ScriptedServer) -> None:
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


def test_the_theme_follows_the_system_until_one_is_chosen(browser: Browser, server: ScriptedServer) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with watched_page(browser, server.url, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Theme: system").click()
        page.get_by_role("button", name="Theme: light").wait_for()
        light = page.evaluate(ground)
        page.reload()
        assert page.evaluate(ground) == light != dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(browser: Browser, server: ScriptedServer, scheme: Any) -> None:
    with watched_page(browser, server.url, color_scheme=scheme) as page:
        server.add_answer("A [link](https://example.org) and `code`.")
        send(page, "Show")
        finished(page)
        for selector in (
            ".user .body",
            ".assistant p",
            ".assistant a",
            ".small-print",
            "#open-settings",
            "#model",
        ):
            assert page.evaluate(CONTRAST, selector) >= 4.5, selector  # WCAG 2.2, AA


CONTRAST = """(selector) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const parts = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    const linear = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const node = document.querySelector(selector);
  const grounds = [];
  for (let at = node; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  const ratio = (parts([...grounds, getComputedStyle(node).color]) + 0.05) / (parts(grounds) + 0.05);
  return Math.max(ratio, 1 / ratio);
}"""


@pytest.fixture
def phone(browser: Browser, server: ScriptedServer) -> Iterator[Page]:
    size: Any = {"width": 360, "height": 640}
    with watched_page(browser, server.url, viewport=size, is_mobile=True, has_touch=True) as opened:
        yield opened


def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_list_is_a_drawer(
    phone: Page, server: ScriptedServer
) -> None:
    server.add_answer("x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n" + "word " * 300)
    phone.get_by_label("Message", exact=True).fill("z" * 300)
    phone.get_by_role("button", name="Send").tap()
    finished(phone)
    assert phone.evaluate("[innerWidth, innerHeight, document.documentElement.scrollWidth]") == [
        360,
        640,
        360,
    ]
    assert phone.locator("#composer").bounding_box()["y"] < 640  # type: ignore[index]
    menu = phone.get_by_role("button", name="Conversations")
    expect(phone.get_by_role("navigation")).to_have_count(0)  # not there for a screen reader either
    menu.tap()
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(phone.get_by_role("button", name="New chat")).to_be_focused()
    phone.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.tap()
    phone.get_by_role("button", name="New chat").tap()
    expect(phone.get_by_role("heading", level=2)).to_have_text("What is on your mind?")


def test_all_that_can_be_pressed_has_a_name_and_can_be_reached_by_keyboard(
    page: Page, server: ScriptedServer
) -> None:
    server.add_answer("Hello.")
    send(page, "Hi")
    finished(page)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select')].filter((node) =>"
        " node.checkVisibility() && !node.ariaLabel && !node.textContent.trim()"
        " && !node.labels?.length).length"
    )
    assert nameless == 0
    wanted = {"Good answer", "Answer again", "Settings", "New chat", "Hi"}
    met = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        met.add(
            page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
        )
    assert wanted <= met


def test_shift_enter_writes_a_line_and_a_full_storage_is_said(page: Page, server: ScriptedServer) -> None:
    page.evaluate("localStorage.setItem('filler', 'x'.repeat(5 * 1024 * 1024 - 20))")
    server.add_answer("Still here. " * 50)
    page.get_by_label("Message", exact=True).fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(answer(page)).to_contain_text("Still here.")
    expect(page.get_by_role("alert")).to_contain_text("no room left")
    assert server.requests[0]["messages"][0]["content"] == "one\ntwo"


def test_what_others_left_in_the_storage_harms_nothing(page: Page, server: ScriptedServer) -> None:
    entries = [
        "{",
        "null",
        '{"messages": [{"role": "system"}]}',
        '{"messages": 3}',
        json.dumps({"messages": []}),
    ]
    for number, entry in enumerate(entries):
        page.evaluate("([n, e]) => localStorage.setItem(`gristmill.conversation.${n}`, e)", [number, entry])
    page.evaluate("localStorage.setItem('gristmill.settings', '[1')")
    page.reload()
    server.add_answer("Fine.")
    send(page, "Well?")
    expect(answer(page)).to_contain_text("Fine.")


def test_screenshots_are_taken_of_every_look(
    browser: Browser, server: ScriptedServer, tmp_path: Path
) -> None:
    looks: dict[str, dict[str, Any]] = {
        "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 800}},
        "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 800}},
        "phone": {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True},
    }
    for name, options in looks.items():
        server.add_answer("# A mill\n\nIt **grinds**:\n\n- grain\n- malt\n\n```python\nprint('flour')\n```")
        with watched_page(browser, server.url, **options) as page:
            page.get_by_label("Message", exact=True).fill("What is a mill?")
            page.get_by_role("button", name="Send").click()
            finished(page)
            page.screenshot(path=tmp_path / f"{name}.png")
    assert {path.stem for path in tmp_path.glob("*.png")} == set(looks)
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()


def get(server: ScriptedServer, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_files_are_served_with_a_policy_that_forbids_all_but_our_own(server: ScriptedServer) -> None:
    front, content = get(server, "/")
    policy = front.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    names = re.findall(r'(?:href|src)="(/static/[^"]+)"', content.decode())
    assert names
    for name in names:
        answer, content_of_file = get(server, name)
        assert answer.status == 200 and answer.headers["content-security-policy"] == policy
        again, nothing = get(server, name, **{"If-None-Match": answer.headers["etag"]})
        assert again.status == 304 and content_of_file and not nothing
    assert not re.search(rb"<style|<script(?![^>]*src)|style=|\son\w+=", content)
    assert get(server, "/static/../feedback.py")[0].status == 404
    assert get(server, "/static/index.html")[0].status == 404
