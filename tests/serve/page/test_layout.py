"""Look and delivery of the chat page: themes, phone layout, accessibility, storage, headers."""

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import send, watched_page
from tests.serve.page.actions import answer, wait_until_finished
from tests.serve.scripted_server import ScriptedServer

pytestmark = pytest.mark.server


def test_theme_follows_the_system_until_one_is_chosen(browser: Browser, server: ScriptedServer) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with watched_page(browser, server.url, color_scheme="dark") as page:
        dark = page.evaluate(background)
        page.get_by_role("button", name="Theme: system").click()
        page.get_by_role("button", name="Theme: light").wait_for()
        light = page.evaluate(background)
        page.reload()
        assert page.evaluate(background) == light != dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(
    browser: Browser, server: ScriptedServer, scheme: Any
) -> None:
    with watched_page(browser, server.url, color_scheme=scheme) as page:
        server.add_answer("A [link](https://example.org) and `code`.")
        send(page, "Show")
        wait_until_finished(page)
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


def test_phone_layout_fits_the_screen_and_the_list_is_a_drawer(phone: Page, server: ScriptedServer) -> None:
    server.add_answer("x" * 300 + "\n\n```\n" + "y" * 300 + "\n```\n\n" + "word " * 300)
    phone.get_by_label("Message", exact=True).fill("z" * 300)
    phone.get_by_role("button", name="Send").tap()
    wait_until_finished(phone)
    assert phone.evaluate("[innerWidth, innerHeight, document.documentElement.scrollWidth]") == [
        360,
        640,
        360,
    ]
    assert phone.locator("#composer").bounding_box()["y"] < 640  # type: ignore[index]
    menu = phone.get_by_role("button", name="Conversations")
    expect(phone.get_by_role("navigation")).to_have_count(0)  # also absent for screen readers
    menu.tap()
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(phone.get_by_role("button", name="New chat")).to_be_focused()
    phone.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.tap()
    phone.get_by_role("button", name="New chat").tap()
    expect(phone.get_by_role("heading", level=2)).to_have_text("How can I help?")


def test_controls_have_names_and_are_reachable_by_keyboard(page: Page, server: ScriptedServer) -> None:
    server.add_answer("Hello.")
    send(page, "Hi")
    wait_until_finished(page)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select')].filter((node) =>"
        " node.checkVisibility() && !node.ariaLabel && !node.textContent.trim()"
        " && !node.labels?.length).length"
    )
    assert nameless == 0
    expected = {"Good answer", "Regenerate", "Settings", "New chat", "Hi"}
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
        )
    assert expected <= reached


def test_shift_enter_adds_a_line_and_full_storage_is_reported(page: Page, server: ScriptedServer) -> None:
    page.evaluate("localStorage.setItem('filler', 'x'.repeat(5 * 1024 * 1024 - 20))")
    server.add_answer("Still here. " * 50)
    page.get_by_label("Message", exact=True).fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(answer(page)).to_contain_text("Still here.")
    expect(page.get_by_role("alert")).to_contain_text("storage is full")
    assert server.requests[0]["messages"][0]["content"] == "one\ntwo"


def test_invalid_storage_entries_are_ignored(page: Page, server: ScriptedServer) -> None:
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


def test_screenshots_in_both_themes_and_on_a_phone(
    browser: Browser, server: ScriptedServer, tmp_path: Path
) -> None:
    variants: dict[str, dict[str, Any]] = {
        "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 800}},
        "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 800}},
        "phone": {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True},
    }
    for name, options in variants.items():
        server.add_answer("# A mill\n\nIt **grinds**:\n\n- grain\n- malt\n\n```python\nprint('flour')\n```")
        with watched_page(browser, server.url, **options) as page:
            page.get_by_label("Message", exact=True).fill("What is a mill?")
            page.get_by_role("button", name="Send").click()
            wait_until_finished(page)
            page.screenshot(path=tmp_path / f"{name}.png")
    assert {path.stem for path in tmp_path.glob("*.png")} == set(variants)
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()


def get(server: ScriptedServer, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_files_have_a_content_security_policy_and_etags(server: ScriptedServer) -> None:
    index, content = get(server, "/")
    policy = index.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    names = re.findall(r'(?:href|src)="(static/[^"]+)"', content.decode())
    assert names
    for name in names:
        file, file_content = get(server, f"/{name}")
        assert file.status == 200 and file.headers["content-security-policy"] == policy
        unchanged, no_content = get(server, f"/{name}", **{"If-None-Match": file.headers["etag"]})
        assert unchanged.status == 304 and file_content and not no_content
    assert not re.search(rb"<style|<script(?![^>]*src)|style=|\son\w+=", content)
    assert get(server, "/static/../service.py")[0].status == 404
    assert get(server, "/static/index.html")[0].status == 404
